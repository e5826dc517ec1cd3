/** Decides which of the two models serves a request, for edge, GPU worker and engine alike. */
import type { BundleManifest } from './bundle-manifest.ts';
import type { EmbeddingKind } from './wire.ts';

/** `generate` is the generative model, `retrieve` the retrieval model. */
export type ModelKind = BundleManifest['kind'];

/** The kind of a request and, for embeddings of an image, their kind. */
export type Routable =
  | { kind: 'generate' | 'match' | 'embed-texts' }
  | { kind: 'embed'; embedding: EmbeddingKind };

/**
 * @example
 * route({ kind: 'embed', embedding: 'query' }); // 'generate': text is generated from query embeddings
 * route({ kind: 'embed', embedding: 'itc' });   // 'retrieve'
 */
export function route(request: Routable): ModelKind {
  switch (request.kind) {
    case 'generate':
      return 'generate';
    case 'match':
    case 'embed-texts':
      return 'retrieve';
    case 'embed':
      return request.embedding === 'query' ? 'generate' : 'retrieve';
  }
}
