export * from './bus.ts';
export * from './jetstream.ts';
export * from './memory.ts';
