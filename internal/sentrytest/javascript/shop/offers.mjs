// What the second build has and the first hasn't: it moves and renames all that comes after.
export function cheapest(offers) {
  return offers.toSorted((one, other) => one.cost - other.cost)[0];
}

export function describe(offer) {
  return `${offer.name} for ${offer.cost}`;
}

globalThis.offer = describe(cheapest([{ name: 'coffee', cost: 3 }, { name: 'tea', cost: 2 }]));
