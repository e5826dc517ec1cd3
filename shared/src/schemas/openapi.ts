/** `GET /openapi.json`. */
import * as z from 'zod/mini';
import { described } from './described.ts';

export const OpenApiDocument = described(
  z.looseObject({
    openapi: described(z.string(), 'Version of the specification.', '3.1.0'),
    info: described(z.looseObject({}), 'Title, version, description and license.'),
    paths: described(z.record(z.string(), z.looseObject({})), 'The operations by path and method.'),
    components: described(z.looseObject({}), 'Schemas and examples that the operations refer to.'),
  }),
  'An OpenAPI document.',
);
