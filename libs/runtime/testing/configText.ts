import { type ConfigProblem, formatProblem, parseConfig } from '../config.ts';

export function problemsOf(text: string): readonly ConfigProblem[] {
  const result = parseConfig(text, { file: 'f.yaml' });
  return result.ok ? [] : result.problems;
}

export function linesOf(text: string): string[] {
  return problemsOf(text).map(formatProblem);
}

/** A valid configuration in which each test breaks something. */
export const valid = `version: 1
pools:
  web:
    minServers: 1
servers:
  web-1:
    pool: web
    url: http://10.0.0.1:8080
    capacityRps: 100
    power:
      - driver: redfish
        url: https://10.0.1.1
        username: admin
        password: env:BMC_PASSWORD
  web-2:
    pool: web
    url: http://10.0.0.2:8080
    capacityRps: 100
`;

/** The valid text with each replacement made; a replacement that finds nothing is a defect of the test. */
export function broken(...replacements: [from: string, to: string][]): string {
  return replacements.reduce((text, [from, to]) => {
    if (!text.includes(from)) throw new Error(`nothing to replace: ${from}`);
    return text.replace(from, to);
  }, valid);
}
