/** The commands of this repository: what each is for, and its options. */
export * from './programs/evaluation.ts';
export * from './programs/faults.ts';
export * from './programs/maintenance.ts';
export * from './programs/service.ts';
export * from './programs/simulation.ts';
export * from './programs/speed.ts';
