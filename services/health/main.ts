import { runService } from '../../libs/runtime/service.ts';
import { startHealth } from './health.ts';

await runService('health', (context) => startHealth(context));
