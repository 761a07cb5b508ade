import { priceOf } from './price.mjs';

class Cart {
  constructor(items) {
    this.items = items;
  }

  total() {
    return this.items.reduce((sum, item) => sum + priceOf(item), 0);
  }
}

export function checkout(items) {
  return new Cart(items).total();
}
