/** The parts of the OpenAPI document that we read ourselves: for the reference page, and in tests. */
import type { JsonSchema } from './schemas.ts';

export type Example = { summary?: string; value?: unknown; $ref?: string };
export type Media = { schema: JsonSchema; example?: unknown; examples?: Record<string, Example> };
export type Parameter = {
  name: string;
  in: string;
  description?: string;
  required?: boolean;
  example?: unknown;
  schema?: JsonSchema;
  content?: Record<string, { schema: JsonSchema; example?: unknown }>;
};
export type Reply = {
  description: string;
  headers?: Record<string, object>;
  content?: Record<string, Media>;
};
export type Operation = {
  operationId: string;
  tags: [string];
  summary: string;
  description: string;
  security?: object[];
  parameters: Parameter[];
  requestBody?: { description: string; content: Record<string, Media> };
  responses: Record<string, Reply>;
};
export type ApiDocument = {
  info: { title: string; summary: string; version: string; description: string };
  security: object[];
  tags: { name: string; description: string }[];
  paths: Record<string, Record<string, Operation>>;
  components: {
    schemas: Record<string, JsonSchema>;
    examples: Record<string, { value: unknown }>;
    headers: Record<string, { description: string; schema: JsonSchema; example: unknown }>;
  };
};
