import { readFile } from 'node:fs/promises';
import fc from 'fast-check';
import { formatProblem } from './config.ts';
import { broken, linesOf, problemsOf } from './testing/configText.ts';

const example = 'deploy/examples/two-servers.yaml';

describe('secrets', () => {
  const secret = 'hunter2-S3cr3t';
  const places: [string, string][] = [
    ['a password in plain text', broken(['env:BMC_PASSWORD', secret])],
    ['a password under a misspelt key', broken(['password: env:BMC_PASSWORD', `passwrod: ${secret}`])],
    [
      'a password in a mapping where a list belongs',
      broken(['- driver', '  driver'], ['env:BMC_PASSWORD', secret]),
    ],
    ['a password that reads as an alias', broken(['env:BMC_PASSWORD', `*${secret}`])],
    ['a password that reads as a tag', broken(['env:BMC_PASSWORD', `!${secret}`])],
    ['a password that reads as an anchor', broken(['env:BMC_PASSWORD', `&${secret}`])],
    ['a password that breaks the YAML', broken(['env:BMC_PASSWORD', `"${secret}`])],
    ['a password with a colon', broken(['env:BMC_PASSWORD', `x: ${secret}: y`])],
    ['a password after a closed quote', broken(['env:BMC_PASSWORD', `"x" ${secret}`])],
    ['a password in a url', broken(['https://10.0.1.1', `https://admin:${secret}@10.0.1.1/x`])],
  ];
  test.each(places)('%s is reported and not shown', (_what, text) => {
    const lines = linesOf(text);
    expect(lines.length).toBeGreaterThan(0);
    expect(lines.join('\n')).not.toContain('hunter2');
  });
});

test('random mutations of a valid file never throw, and name a line that exists', async () => {
  const text = await readFile(example, 'utf8');
  const piece = fc.oneof(
    fc.constantFrom(
      '\n',
      ' ',
      '\t',
      ':',
      '- ',
      '{',
      '}',
      '[',
      ']',
      '*',
      '&a ',
      '*a',
      '<<: ',
      '"',
      '!',
      '#',
      '%',
      '? ',
      '| ',
    ),
    fc.string({ maxLength: 5 }),
  );
  const mutation = fc.tuple(fc.nat(text.length), fc.nat(12), piece);
  fc.assert(
    fc.property(fc.array(mutation, { minLength: 1, maxLength: 4 }), (mutations) => {
      let mutated = text;
      for (const [at, removed, put] of mutations)
        mutated = mutated.slice(0, at) + put + mutated.slice(at + removed);
      for (const problem of problemsOf(mutated)) {
        expect(problem.line).toBeGreaterThanOrEqual(1);
        expect(problem.line).toBeLessThanOrEqual(mutated.split('\n').length);
        expect(formatProblem(problem)).not.toContain('\n');
      }
    }),
    { numRuns: 400 },
  );
});

test('any JSON value is refused or valid, and never throws', () => {
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      expect(problemsOf(JSON.stringify({ version: 1, pools: value, servers: value })).length).toBeGreaterThan(
        0,
      );
    }),
    { numRuns: 200 },
  );
});
