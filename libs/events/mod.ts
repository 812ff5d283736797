export * from './catalog.ts';
export {
  type DecodeResult,
  decode,
  type EncodedEvent,
  encode,
  type MalformedEvent,
  type StoredMessage,
  typeNameOf,
} from './codec.ts';
export { describedSchema, eventDescriptions, fieldDescriptions } from './descriptions.ts';
export * from './fleetConfig.ts';
export { type Capability, capabilitiesOf, onlyCuts } from './powerMethod.ts';
export * from './question.ts';
export {
  decisionSubject,
  healthSubject,
  leaseSubject,
  loadFilterOf,
  powerSubject,
  questionSubject,
  streamOf,
  streams,
  subjectFilters,
  subjectOf,
} from './subjects.ts';
export { type Upcaster, type Upcasters, upcast, upcasters } from './upcast.ts';
