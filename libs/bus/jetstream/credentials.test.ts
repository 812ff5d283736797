import { accessOf } from './credentials.ts';

test.each<[string | string[], object]>([
  ['nats://127.0.0.1:4222', { servers: ['nats://127.0.0.1:4222'] }],
  ['nats://me:pa%40ss@h:4222', { servers: ['nats://h:4222'], user: 'me', pass: 'pa@ss' }],
  ['t0ken@h', { servers: ['h'], token: 't0ken' }],
  [['nats://a', 'tls://me:x@b:1'], { servers: ['nats://a', 'tls://b:1'], user: 'me', pass: 'x' }],
  ['[::1]:4222', { servers: ['[::1]:4222'] }],
])('%j', (servers, access) => expect(accessOf(servers)).toEqual(access));
