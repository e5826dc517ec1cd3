/**
 * A session's setting for products of 8 bits. On x64 without VNNI onnxruntime adds two products in 16 bits, where large ones saturate: of weights and
 * activations that use all of their 8 bits a result may be a quarter off. With this it takes its slower, exact way there; processors with VNNI
 * add in 32 bits anyway, and nothing changes.
 */
export const EXACT_PRODUCTS = { x64quantprecision: '1' };
