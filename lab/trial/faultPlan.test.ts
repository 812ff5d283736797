import { seededRandom } from '../rack/random.ts';
import { planFaults, serviceIntervalSeconds } from './faultPlan.ts';

const day = 86_400;

test('a crash or power cut a day, the bus once, services in turn', () => {
  const plan = planFaults(3 * day, 480, seededRandom(1));
  const of = (kind: string) => plan.filter((fault) => fault.kind === kind);
  expect([of('crash').length, of('powerCut').length, of('bus').length]).toEqual([2, 1, 1]);
  const services = plan.flatMap((fault) => (fault.kind === 'service' ? [fault.service] : []));
  expect(services.slice(0, 5)).toEqual(['health', 'power', 'planner', 'proxy', 'health']);
  expect(plan.every(({ second }, index) => second > 0 && second >= (plan[index - 1]?.second ?? 0))).toBe(
    true,
  );
});

test('a service is restarted each hour, but never before it had time to come back', () => {
  expect(serviceIntervalSeconds(10)).toBe(3_600);
  expect(serviceIntervalSeconds(480)).toBe(30 * 480);
});

test('the same draws plan the same', () => {
  expect(planFaults(day, 100, seededRandom(4))).toEqual(planFaults(day, 100, seededRandom(4)));
});
