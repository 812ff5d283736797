import { passwordVariable, type SoakHost, type SoakService } from '../../lab/healthSoak/host.ts';
import { soakPassword } from '../../lab/healthSoak/site.ts';
import { runSoak } from '../../lab/healthSoak/soak.ts';
import type { RunningService } from '../../libs/runtime/service.ts';
import { startHealth } from '../../services/health/health.ts';
import { startPower } from '../../services/power/power.ts';
import { createHarness } from '../../services/testing/harness.ts';

/**
 * A few faults of the soak (`npm run soak:health`), with the services in this process: machines that misbehave by seed,
 * and what is believed of them beside what is true.
 */

// Other tests run at the same time.
const slackMs = 5_000;
const starters = { health: startHealth, power: startPower };

function openHost(): SoakHost {
  const harness = createHarness();
  const running = new Map<SoakService, RunningService>();
  const stop = async (service: SoakService) => {
    await running.get(service)?.stop();
    running.delete(service);
  };
  return {
    bus: harness.bus,
    async start(service) {
      running.set(service, await starters[service](harness.context(service)));
    },
    stop,
    async close() {
      await Promise.all([...running.keys()].map(stop));
      await harness.close();
    },
  };
}

beforeEach(() => {
  process.env[passwordVariable] = soakPassword;
});
afterEach(() => {
  delete process.env[passwordVariable];
});

test('what is believed agrees with what is true, within its time', async () => {
  const report = await runSoak({ machines: 10, faults: 24, seed: 7, slackMs }, openHost());
  expect(report).toMatchObject({ faults: 24, disagreements: [] });
  expect(report.worst.deadUsedMs).toBeGreaterThan(0);
}, 90_000);

test('without the health service the soak finds the disagreements', async () => {
  const host = openHost();
  const options = { machines: 4, faults: 4, seed: 7, slackMs: 0, patienceMs: 3_000 };
  const report = await runSoak({ ...options, sabotage: () => host.stop('health') }, host);
  expect(report.disagreements.length).toBeGreaterThan(0);
}, 90_000);
