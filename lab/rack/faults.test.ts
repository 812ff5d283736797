import { answerFaults, createFaultTable } from './faults.ts';

describe('the fault table', () => {
  test('gives nothing when empty, and again when healed', () => {
    const table = createFaultTable();
    expect(table.take(answerFaults, 'read')).toBeUndefined();
    table.set([{ kind: 'hang' }]);
    expect(table.take(answerFaults, 'read')).toEqual({ kind: 'hang' });
    table.set([]);
    expect(table.take(answerFaults, 'read')).toBeUndefined();
  });

  test('picks by kind of request and stops after its times, then the next has its turn', () => {
    const table = createFaultTable();
    table.set([
      { kind: 'status', status: 401, on: 'reset', times: 1 },
      { kind: 'hang', times: 2 },
    ]);
    expect(table.take(answerFaults, 'read')?.kind).toBe('hang');
    expect(table.take(answerFaults, 'reset')?.kind).toBe('status');
    expect(table.take(answerFaults, 'reset')?.kind).toBe('hang');
    expect(table.take(answerFaults, 'reset')).toBeUndefined();
  });

  test('an ignored reset can be that of one type only', () => {
    const table = createFaultTable();
    table.set([{ kind: 'ignoredReset', resetTypes: ['On'] }]);
    expect(table.take(['ignoredReset'], 'reset', 'ForceOff')).toBeUndefined();
    expect(table.take(['ignoredReset'], 'reset', 'On')?.kind).toBe('ignoredReset');
    expect(table.take(['slowBoot'], 'reset', 'On')).toBeUndefined();
  });
});
