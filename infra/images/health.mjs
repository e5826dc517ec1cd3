// The health check of the images: ends with 0 where the worker in this container answers /healthz with 200.
const { BLIP2_WORKER_PORT: port = '8788' } = process.env;
const response = await fetch(`http://127.0.0.1:${port}/healthz`, {
  signal: AbortSignal.timeout(4000),
}).catch(() => null);
process.exit(response?.status === 200 ? 0 : 1);
