import type { Cart } from '../shop'

function validate(cart: Cart): void {
  const missing = (cart as unknown as { address?: { city: string } }).address!
  if (missing.city === '') throw new Error('no city')
}

export async function checkout(cart: Cart): Promise<void> {
  await Promise.resolve()
  validate(cart)
}
