/** `docs/metrics.md`: every metric of the GPU worker, from the registry. */
import { createRegistry } from '@blip2/gpu-worker/metrics';
import { markdownTable } from 'markdown-table';

const INTRODUCTION = `# Metrics

This page is generated from the registry (\`npm run docs\`).

\`GET /metrics\` of the GPU worker is for Prometheus. Every metric has the label \`execution_provider\`. Where vLLM has
the same metric, the name is vLLM's behind our prefix. The usual metrics of a Node process (\`process_*\`, \`nodejs_*\`) are included.
For scrapers that accept OpenMetrics, latencies of tokens have the trace of a recorded request as exemplar ([operations.md](operations.md#traces)).`;

export async function metricsPage(): Promise<string> {
  const { registry } = createRegistry(
    { admitted: 0, slots: 1, listen: () => {} },
    { waiting: 0, memory: 0, listen: () => {} },
  );
  const metrics = await registry.getMetricsAsJSON();
  const rows = metrics.map(({ name, type, help }) => {
    const metric = registry.getSingleMetric(name) as unknown as { labelNames: string[] };
    const labels = metric.labelNames.map((label) => `\`${label}\``).join(', ');
    return [`\`${name}\``, String(type), labels, help];
  });
  const sorted = rows.sort(([a = ''], [b = '']) => (a < b ? -1 : 1));
  return `${INTRODUCTION}\n\n${markdownTable([['metric', 'type', 'labels', 'meaning'], ...sorted])}\n`;
}
