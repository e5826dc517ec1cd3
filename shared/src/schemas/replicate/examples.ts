/** Values of examples: whole ones, since people copy them. */

export const EXAMPLE_BASE = 'https://blip2.example/replicate/v1';

/** Id of a prediction or a file. */
export const EXAMPLE_ID = '3f0c9d1e5a7b48c2'.repeat(6);

export const EXAMPLE_TOKEN = '9a41c7e02f5d8b36'.repeat(2);

export const EXAMPLE_SHA256 = 'f4112ab67441c8c64f31bf11d8bb81a051ae8e292af3bca8e4862cd950ecf70f';
