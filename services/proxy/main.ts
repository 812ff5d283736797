import cluster from 'node:cluster';
import { parseListen, runService } from '../../libs/runtime/service.ts';
import { runMaster } from './master.ts';
import { startProxy } from './proxy.ts';
import { tlsSettings } from './tls.ts';

const { env } = process;

if (cluster.isPrimary) {
  runMaster({ name: env.NEMURI_NAME ?? 'proxy', workers: Number(env.NEMURI_PROXY_WORKERS ?? 1) });
} else {
  const { host, port } = parseListen('NEMURI_LISTEN', env.NEMURI_LISTEN ?? '0.0.0.0:8080');
  const traceSampleRatio = Number(env.NEMURI_TRACE_SAMPLE_RATIO ?? 0.01);
  const tls = tlsSettings(env);
  await runService('proxy', (context) =>
    startProxy(context, { host, port, traceSampleRatio, ...(tls ? { tls } : {}) }),
  );
}
