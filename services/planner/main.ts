import { runService } from '../../libs/runtime/service.ts';
import { startPlanner } from './planner.ts';

await runService('planner', startPlanner);
