class PriceError extends Error {
  name = 'PriceError';
}

export function priceOf(item) {
  if (!item.price) {
    throw new PriceError(`${item.name} has no price`);
  }
  return item.price;
}
