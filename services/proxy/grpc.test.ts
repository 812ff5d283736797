import { readFileSync } from 'node:fs';
import * as grpc from '@grpc/grpc-js';
import type { EventOf, RecordedEvent } from '../../libs/events/mod.ts';
import { freePort } from '../../libs/runtime/freePort.ts';
import { renderPrometheus } from '../../libs/runtime/metrics.ts';
import { createCertificates } from './testing/certificate.ts';
import { configOf, createSite, type Site } from './testing/site.ts';

/** gRPC by its own library: client → TLS, HTTP/2 → proxy → HTTP/2 in plain → server. */
let site: Site;
let server: grpc.Server;
let client: grpc.Client;
const certificates = createCertificates();

type Message = Buffer;
const pass = (message: Message) => message;
const method = (name: string, requestStream: boolean, responseStream: boolean) => ({
  path: `/test.Echo/${name}`,
  requestStream,
  responseStream,
  requestSerialize: pass,
  requestDeserialize: pass,
  responseSerialize: pass,
  responseDeserialize: pass,
});
const service = {
  unary: method('unary', false, false),
  down: method('down', false, true),
  up: method('up', true, false),
  both: method('both', true, true),
};

const isType =
  <T extends RecordedEvent['type']>(type: T, fits: (event: EventOf<T>) => boolean = () => true) =>
  (event: RecordedEvent): event is EventOf<T> =>
    event.type === type && fits(event as EventOf<T>);

const handlers: grpc.UntypedServiceImplementation = {
  unary(call: grpc.ServerUnaryCall<Message, Message>, done: grpc.sendUnaryData<Message>) {
    const asked = String(call.request);
    if (asked === 'missing') {
      const metadata = new grpc.Metadata();
      metadata.set('detail-bin', Buffer.from([0, 255, 7]));
      done({ code: grpc.status.NOT_FOUND, details: 'no “such” thing', metadata });
      return;
    }
    const trailer = new grpc.Metadata();
    trailer.set('x-sum', '42');
    done(null, Buffer.from(`${asked} ${call.metadata.get('x-own')}`), trailer);
  },
  down(call: grpc.ServerWritableStream<Message, Message>) {
    for (let index = 0; index < 100; index += 1) call.write(Buffer.alloc(10_000, index));
    call.end();
  },
  up(call: grpc.ServerReadableStream<Message, Message>, done: grpc.sendUnaryData<Message>) {
    let bytes = 0;
    call.on('data', (chunk: Message) => {
      bytes += chunk.length;
    });
    call.on('end', () => done(null, Buffer.from(String(bytes))));
  },
  both(call: grpc.ServerDuplexStream<Message, Message>) {
    call.on('data', (chunk: Message) => call.write(Buffer.from(`echo ${chunk}`)));
    call.on('end', () => call.end());
  },
};

beforeEach(async () => {
  site = createSite();
  server = new grpc.Server();
  server.addService(service, handlers);
  const origin = await new Promise<number>((resolve, reject) =>
    server.bindAsync('127.0.0.1:0', grpc.ServerCredentials.createInsecure(), (error, port) =>
      error ? reject(error) : resolve(port),
    ),
  );
  const files = await certificates.make('a.example');
  const tls = { host: '127.0.0.1', port: await freePort('127.0.0.1'), certificates: [files] };
  await site.start(configOf([origin], { forwarding: { protocol: 'http2' }, drainTimeoutMs: 200 }), { tls });
  await site.ready('s1');
  const credentials = grpc.credentials.createSsl(readFileSync(files.certificateFile));
  client = new grpc.Client(`127.0.0.1:${tls.port}`, credentials, {
    'grpc.ssl_target_name_override': 'a.example',
    'grpc.default_authority': 'a.example',
  });
});

afterEach(async () => {
  client.close();
  await site.close();
  server.forceShutdown();
  await certificates.remove();
});

interface Answer {
  readonly value: string;
  readonly trailer: grpc.Metadata;
}

function unary(message: string): Promise<Answer> {
  const metadata = new grpc.Metadata();
  metadata.set('x-own', 'mine');
  return new Promise((resolve, reject) => {
    let value = '';
    const call = client.makeUnaryRequest(
      service.unary.path,
      pass,
      pass,
      Buffer.from(message),
      metadata,
      (error, answer) => {
        if (error) reject(error);
        else value = String(answer);
      },
    );
    call.on('status', ({ code, metadata: trailer }) => code === 0 && resolve({ value, trailer }));
  });
}

test('unary: message, metadata and trailers', async () => {
  const { value, trailer } = await unary('hello');
  expect(value).toBe('hello mine');
  expect(trailer.get('x-sum')).toEqual(['42']);
  expect(renderPrometheus(site.proxy?.metrics?.() ?? [])).toMatch(
    /nemuri_server_request_bytes_total\{[^}]*\} 10\n/,
  );
});

test('a status other than OK comes with its words and its binary detail', async () => {
  const error = await unary('missing').catch((failed: grpc.ServiceError) => failed);
  expect(error).toMatchObject({ code: grpc.status.NOT_FOUND, details: 'no “such” thing' });
  expect((error as grpc.ServiceError).metadata.get('detail-bin')).toEqual([Buffer.from([0, 255, 7])]);
});

test('a method that is not there: UNIMPLEMENTED, said in the headers alone', async () => {
  const code = await new Promise((resolve) =>
    client.makeUnaryRequest('/test.Echo/none', pass, pass, Buffer.from('x'), (error) => resolve(error?.code)),
  );
  expect(code).toBe(grpc.status.UNIMPLEMENTED);
});

test('a stream from the server, whole and in order', async () => {
  const call = client.makeServerStreamRequest(service.down.path, pass, pass, Buffer.from('x'));
  const firsts: number[] = [];
  for await (const chunk of call) {
    expect(chunk.length).toBe(10_000);
    firsts.push(chunk[0]);
  }
  expect(firsts).toEqual(Array.from({ length: 100 }, (_, index) => index));
});

test('a stream to the server, beyond what is held for another try', async () => {
  const sum = await new Promise((resolve, reject) => {
    const call = client.makeClientStreamRequest(service.up.path, pass, pass, (error, answer) =>
      error ? reject(error) : resolve(String(answer)),
    );
    for (let index = 0; index < 50; index += 1) call.write(Buffer.alloc(10_000));
    call.end();
  });
  expect(sum).toBe('500000');
});

test('both ways: each message is answered before the next is sent; it counts as in flight', async () => {
  const call = client.makeBidiStreamRequest(service.both.path, pass, pass);
  const answers: AsyncIterator<Buffer> = call[Symbol.asyncIterator]();
  for (const word of ['one', 'two', 'three']) {
    call.write(Buffer.from(word));
    expect(String((await answers.next()).value)).toBe(`echo ${word}`);
  }
  await site.harness.nextEvent(
    'TELEMETRY',
    isType('LoadSampled', ({ data }) => data.inFlight === 1),
  );
  call.end();
  expect((await answers.next()).done).toBe(true);
});

test('a client that cancels ends its call on the server', async () => {
  const cancelled = new Promise<void>((resolve) => {
    server.removeService(service);
    server.addService(service, {
      ...handlers,
      both: (call: grpc.ServerDuplexStream<Message, Message>) => {
        call.write(Buffer.from('begun'));
        call.on('cancelled', () => resolve());
      },
    });
  });
  const call = client.makeBidiStreamRequest(service.both.path, pass, pass);
  call.on('error', () => undefined);
  call.once('data', () => call.cancel());
  await cancelled;
});

test('a stream that outlasts the drain ends with UNAVAILABLE, and the drain time-out is a fact', async () => {
  const call = client.makeBidiStreamRequest(service.both.path, pass, pass);
  const ended = new Promise((resolve) => call.once('error', resolve));
  const first = new Promise((resolve) => call.once('data', resolve));
  call.write(Buffer.from('hold'));
  await first;
  const data = { server: 's1', pool: 'web', sleepId: 'sleep-1', drainTimeoutMs: 200, reason: 'test' };
  await site.harness.publish({ type: 'SleepRequested', data });
  const timedOut = await site.harness.nextEvent('FLEET', isType('DrainTimedOut'));
  expect(timedOut.data).toMatchObject({ server: 's1', inFlight: 1 });
  expect(await ended).toMatchObject({ code: grpc.status.UNAVAILABLE });
});
