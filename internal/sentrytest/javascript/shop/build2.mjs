import './offers.mjs';
export { checkout } from './cart.mjs';
