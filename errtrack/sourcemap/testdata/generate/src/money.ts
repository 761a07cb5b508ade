export type Money = number

const pattern = /[\uD800-\uDBFF](?![\uDC00-\uDFFF])/

export function format(amount: Money): string {
  if (!Number.isFinite(amount)) {
    throw new RangeError(`not an amount: ${amount}`)
  }
  return (amount / 100).toFixed(2).replace(pattern, '') + ' €'
}
