import { type TObject, type TProperties, type TSchema, Type } from '@sinclair/typebox';

/** An object that refuses keys it does not know: a typing error in a config must not pass as a default. */
export function strictObject<P extends TProperties>(
  properties: P,
  options: { description?: string; default?: object } = {},
): TObject<P> {
  return Type.Object(properties, { additionalProperties: false, ...options });
}

/** A section of settings that may be left out whole: each of its keys has a default. */
export function settings<P extends TProperties>(properties: P, description: string): TObject<P> {
  return Type.Object(properties, { additionalProperties: false, description, default: {} });
}

export function durationMs(defaultMs: number, description: string, minimum = 1) {
  return Type.Integer({ minimum, maximum: 7 * 86_400_000, default: defaultMs, description });
}

/**
 * What is kept by name. Refuses keys that are no names. TypeBox fills the defaults of an entry in only where the
 * entry's schema has a default itself.
 */
export function byName<S extends TSchema>(schema: S, description: string, minProperties = 0) {
  const name = Type.String({ pattern: NamePattern });
  return Type.Record(name, schema, { minProperties, additionalProperties: false, description });
}

/** A server's, pool's or proxy's name: one token of a NATS subject and one DNS label. */
export const NamePattern = '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$';
/** Scheme, host and port. No user before an @: a password there would get into the events. */
export const UrlPattern = '^https?://[^/?#@\\s]+/?$';
const SecretPattern = '^(env:[A-Za-z_][A-Za-z0-9_]*|file:.+)$';

export const SecretReference = Type.String({
  pattern: SecretPattern,
  description: 'Where the secret is, never the secret: env:NAME or file:/path',
});

/** How a server that is spoken to by TLS is known. */
export const serverTls = {
  tlsServerName: Type.Optional(
    Type.String({
      minLength: 1,
      description: 'Name asked for and verified by TLS; default: the host of the url',
    }),
  ),
  caFile: Type.Optional(
    Type.String({ minLength: 1, description: 'PEM file of the CA; default: those of the system' }),
  ),
};
