export { checkout } from './cart.mjs';
