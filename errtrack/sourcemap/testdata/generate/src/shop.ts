import { format, Money } from './money'
import { checkout } from './pages/checkout'

export interface Item {
  name: string
  price: Money
  count?: number
}

/** A cart — سلة — 🛒 of things. */
export class Cart {
  private readonly items: Item[] = []
  #listeners = new Set<(cart: Cart) => void>()

  add(item: Item): this {
    this.items.push({ count: 1, ...item })
    for (const listener of this.#listeners) listener(this)
    return this
  }

  get total(): Money {
    return this.items.reduce((sum, item) => sum + item.price * (item.count ?? 1), 0)
  }

  toString(): string {
    return `🛒 ${this.items.map(item => `${item.name} × ${item.count}`).join('، ')} = ${format(this.total)}`
  }
}

export async function main(): Promise<void> {
  const cart = new Cart().add({ name: 'قهوة', price: 1250 }).add({ name: 'tea 🍵', price: 900, count: 2 })
  console.log(String(cart))
  await checkout(cart)
}

main().catch(error => console.error(error))
