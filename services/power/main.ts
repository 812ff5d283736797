import { runService } from '../../libs/runtime/service.ts';
import { startPower } from './power.ts';

await runService('power', startPower);
