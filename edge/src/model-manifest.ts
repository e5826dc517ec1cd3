/** The models that the edge serves, which part mode of the GPU worker knows in the same way. */
export {
  type GenerativeModel,
  noRetrievalModel,
  type RetrievalModel,
  retrievalModel,
  revisionFor,
  type ServedModels,
  servedModels,
} from '@blip2/shared/served-models';
