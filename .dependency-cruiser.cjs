/** The layering of the rooms: what each may import. */
module.exports = {
  forbidden: [
    { name: 'no-circular', severity: 'error', from: {}, to: { circular: true } },
    {
      name: 'shared-imports-nothing-of-ours',
      severity: 'error',
      from: { path: '^shared/src' },
      to: { path: '^(edge|gpu-worker|infra|scripts|test)/' },
    },
    {
      name: 'edge-imports-only-shared',
      severity: 'error',
      from: { path: '^edge/' },
      to: { path: '^(gpu-worker|infra|scripts|test)/' },
    },
    {
      name: 'gpu-worker-imports-only-shared',
      severity: 'error',
      from: { path: '^gpu-worker/' },
      to: { path: '^(edge|infra|scripts|test)/' },
    },
    {
      name: 'no-unresolvable',
      severity: 'error',
      from: {},
      to: { couldNotResolve: true, pathNot: '^(cloudflare:|.*/generated/)' },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.base.json' },
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'node', 'default'],
    },
  },
};
