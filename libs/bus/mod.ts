export * from './bus.ts';
export { type NatsUser, natsUsers, renderNatsUsers } from './jetstream/users.ts';
export * from './jetstream.ts';
export * from './memory.ts';
