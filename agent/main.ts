import { runService } from '../libs/runtime/service.ts';
import { type RunningAgent, startAgent } from './agent.ts';
import { agentSettings } from './settings.ts';

const settings = agentSettings(process.env);
if (!process.env.NEMURI_NAME) throw new Error('NEMURI_NAME must be the name of this server (got "")');

let agent: RunningAgent | undefined;
// systemd's ExecStop sends it while the machine goes down: docs/health.md.
process.on('SIGUSR2', () => void agent?.announceShutdown('its machine goes down'));
await runService('agent', async (context) => {
  agent = await startAgent(context, settings);
  return agent;
});
