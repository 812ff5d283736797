import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse, parseAllDocuments } from 'yaml';
import { natsUsers } from '../libs/bus/mod.ts';
import { isEventType } from '../libs/events/mod.ts';
import {
  type MetricDefinition,
  metricCatalog,
  metricNames,
  prometheusName,
} from '../libs/runtime/metricCatalog.ts';

/** What deploy/ says of the code: metrics, commands, ports, variables. */

const byName = new Map<string, MetricDefinition>(
  metricNames.flatMap((name): [string, MetricDefinition][] => {
    const definition: MetricDefinition = metricCatalog[name];
    const spelled = prometheusName(name);
    return definition.instrument === 'histogram'
      ? ['_bucket', '_sum', '_count'].map((suffix) => [`${spelled}${suffix}`, definition])
      : [[spelled, definition]];
  }),
);
/** Of Prometheus itself. */
const builtIn: Readonly<Record<string, readonly string[]>> = { up: ['job', 'instance'] };
const ofEverySeries = ['job', 'instance', 'le'];

/** What a PromQL expression names that there is not: metrics, labels in selectors and in `by`, types of events. */
function unknownIn(expression: string): string[] {
  const plain = expression.replace(/"[^"]*"/g, '""');
  const names = [...plain.matchAll(/\b((?:nemuri|http|process|nodejs)_\w+|up)\b/g)].map(
    ([, name = '']) => name,
  );
  const known = names.flatMap((name) => byName.get(name)?.labels ?? builtIn[name] ?? []);
  const labels = [...plain.matchAll(/\{([^}]*)\}|\bby \(([^)]*)\)/g)].flatMap(([, selector, by]) =>
    (selector ?? by ?? '').split(',').map((part) => part.split(/[=!~]/)[0]?.trim() ?? ''),
  );
  const types = [...expression.matchAll(/type=~?"([^"]+)"/g)].flatMap(([, list = '']) => list.split('|'));
  return [
    ...names.filter((name) => !byName.has(name) && !Object.hasOwn(builtIn, name)),
    ...labels.filter((label) => label !== '' && ![...known, ...ofEverySeries].includes(label)),
    ...types.filter((type) => !isEventType(type)),
  ];
}

interface Rules {
  readonly groups: readonly {
    readonly rules: readonly {
      readonly alert: string;
      readonly expr: string;
      readonly annotations: { readonly summary: string };
    }[];
  }[];
}

test('every alert rule rests on metrics, labels and events that there are', () => {
  const { groups } = parse(readFileSync('deploy/prometheus/alerts.yaml', 'utf8')) as Rules;
  const rules = groups.flatMap((group) => group.rules);
  expect(rules.length).toBeGreaterThan(8);
  expect(rules.flatMap(({ alert, expr }) => unknownIn(expr).map((word) => `${alert}: ${word}`))).toEqual([]);
});

test('every panel of the dashboard rests on metrics and labels that there are', () => {
  const { panels, templating } = JSON.parse(readFileSync('deploy/grafana/nemuri.json', 'utf8')) as {
    panels: { title: string; targets: { expr: string }[] }[];
    templating: { list: { name: string; query: string }[] };
  };
  const problems = panels.flatMap(({ title, targets }) =>
    targets.flatMap(({ expr }) => unknownIn(expr).map((word) => `${title}: ${word}`)),
  );
  expect([panels.length > 10, problems]).toEqual([true, []]);
  const variable = templating.list.find(({ name }) => name === 'pool');
  expect(variable?.query).toMatch(/^label_values\((\w+), pool\)$/);
  expect(byName.has(/\((\w+),/.exec(variable?.query ?? '')?.[1] ?? '')).toBe(true);
});

test('an unknown metric, label or event is found', () => {
  expect(unknownIn('nemuri_parkd > 0')).toEqual(['nemuri_parkd']);
  expect(unknownIn('sum by (rack) (nemuri_parked{pool="x",colour="y"})')).toEqual(['rack', 'colour']);
  expect(unknownIn('nemuri_events_total{type="ServerWentAway"}')).toEqual(['ServerWentAway']);
  expect(unknownIn('up{job="nemuri"} == 0')).toEqual([]);
});

interface Container {
  readonly image: string;
  readonly command?: readonly string[];
  readonly args?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  readonly env?: readonly { readonly name: string; readonly value?: string }[];
  readonly build?: string;
  readonly volumes?: readonly string[];
  readonly [key: string]: unknown;
}

const read = (path: string) => readFileSync(path, 'utf8');
const composeFiles = ['docker-compose.yml', 'deploy/compose.production.yml'];
const servicesOf = (file: string) =>
  (parse(read(file), { merge: true }) as { services: Record<string, Container> }).services;

const documents = parseAllDocuments(read('deploy/kubernetes.yaml')).map(
  (document) => document.toJS() as { kind: string; metadata: { name: string }; spec?: PodOwner },
);
interface PodOwner {
  readonly template?: {
    readonly spec: {
      readonly securityContext: object;
      readonly containers: readonly Container[];
      readonly volumes?: readonly {
        readonly name: string;
        readonly secret?: { readonly items?: readonly { readonly path: string }[] };
      }[];
    };
  };
}
const pods = documents.flatMap(({ metadata, spec }) =>
  spec?.template ? [{ name: metadata.name, ...spec.template.spec }] : [],
);

/** Scripts that a deployment runs, from dist/, as their source. */
function missingScripts(words: readonly string[]): string[] {
  const scripts = words.filter((word) => /^[a-z/]+\.js$/.test(word));
  return scripts.filter((script) => !existsSync(script.replace(/\.js$/, '.ts')));
}

const sources = ['libs', 'services', 'agent', 'cli', 'lab'].flatMap((folder) =>
  readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.ts') && !path.endsWith('.test.ts'))
    .map((path) => read(`${folder}/${path}`)),
);
const knownVariables = new Set(
  sources.flatMap((text) => [...text.matchAll(/\b(NEMURI_[A-Z_]+|OTEL_[A-Z_]+)\b/g)].map(([name]) => name)),
);
const unknownVariables = (names: readonly string[]) =>
  names.filter((name) => /^(NEMURI|OTEL)_/.test(name) && !knownVariables.has(name));

/** Ours, and those of the images we take; `latest` is none. */
const pinned = /^(nemuri(:[\d.]+)?|[a-z/-]+:v?\d+\.\d+(\.\d+)?(-alpine)?)$/;

describe.each(composeFiles)('%s', (file) => {
  const services = servicesOf(file);

  test.each(Object.keys(services))('%s runs what there is, with variables that there are', (name) => {
    const { command = [], environment = {}, image } = services[name] ?? { image: '' };
    expect([missingScripts(command), unknownVariables(Object.keys(environment))]).toEqual([[], []]);
    expect(image).toMatch(pinned);
  });

  test('ours run without root’s rights, on a file system that can not be written', () => {
    const ours = Object.values(services).filter(({ image }) => image === 'nemuri');
    expect(ours.length).toBeGreaterThan(5);
    for (const service of ours)
      expect(service).toMatchObject({
        read_only: true,
        cap_drop: ['ALL'],
        security_opt: ['no-new-privileges:true'],
      });
    expect(read('Dockerfile')).toMatch(/^USER node$/m);
  });

  test('files that are mounted are there', () => {
    const mounts = Object.values(services).flatMap(({ volumes = [] }) =>
      volumes.map((one) => one.split(':')[0] ?? ''),
    );
    const paths = mounts.filter((path) => path.startsWith('.') && !/nemuri\.yaml$|secrets$/.test(path));
    const folder = file.includes('/') ? 'deploy' : '.';
    expect(paths.filter((path) => !existsSync(join(folder, path)))).toEqual([]);
  });
});

test('production has every service of the demo but the rack and its load', () => {
  const [demo = [], production = []] = composeFiles.map((file) =>
    Object.entries(servicesOf(file)).flatMap(([name, { profiles }]) => (profiles ? [] : [name])),
  );
  expect([...production].sort()).toEqual(demo.filter((name) => name !== 'rack' && name !== 'load').sort());
});

test('Prometheus scrapes the services by their names and admin port', () => {
  const { scrape_configs: scrapes } = parse(read('deploy/prometheus/prometheus.yaml')) as {
    scrape_configs: { static_configs: { targets: string[] }[] }[];
  };
  const services = servicesOf('docker-compose.yml');
  for (const target of scrapes.flatMap((one) => one.static_configs.flatMap(({ targets }) => targets))) {
    const [name = '', port] = target.split(':');
    expect(services[name]?.environment?.NEMURI_ADMIN_LISTEN).toBe(`0.0.0.0:${port}`);
  }
});

describe('the users of the bus', () => {
  const users = natsUsers([]);
  const userOf = (script: string) => (script.startsWith('cli/') ? 'cli' : (script.split('/')[1] ?? ''));

  interface Deployed {
    readonly script: string;
    readonly user: unknown;
    readonly password: unknown;
    /** Files with passwords that it is given. */
    readonly files: readonly string[];
  }
  const composed = (file: string): Deployed[] => {
    const base = file.includes('cluster') ? servicesOf('docker-compose.yml') : {};
    const { secrets } = parse(read(file)) as { secrets: Record<string, { file: string }> };
    return Object.entries(servicesOf(file)).flatMap(([name, service]) => {
      const script = (service.command ?? base[name]?.command ?? [])[0] ?? '';
      if (!script.endsWith('.js')) return [];
      const { NEMURI_NATS_USER: user, NEMURI_NATS_PASSWORD: password } = service.environment ?? {};
      const own = (service.secrets ?? []) as string[];
      expect(own.map((one) => secrets[one]?.file)).toEqual(
        own.map((one) => expect.stringMatching(`/nats/secrets/${one}$`)),
      );
      return [{ script, user, password, files: own.map((one) => `/run/secrets/${one}`) }];
    });
  };
  const inKubernetes = (): Deployed[] =>
    pods.flatMap(({ containers, volumes = [] }) =>
      containers.flatMap(({ args = [], env = [] }) => {
        const settingOf = (name: string) => env.find((one) => one.name === name)?.value;
        const items = volumes.find(({ name }) => name === 'nats')?.secret?.items ?? [];
        if (!args[0]?.endsWith('.js')) return [];
        const [user, password] = [settingOf('NEMURI_NATS_USER'), settingOf('NEMURI_NATS_PASSWORD')];
        return [{ script: args[0], user, password, files: items.map(({ path }) => `/run/nats/${path}`) }];
      }),
    );

  test.each([
    ['compose.production.yml', () => composed('deploy/compose.production.yml')],
    ['compose.cluster.yml', () => composed('deploy/compose.cluster.yml')],
    ['kubernetes.yaml', inKubernetes],
  ])('%s: each service is its own user, and is given its own password as a file', (_file, deployed) => {
    const found = deployed();
    const services = ['cli', 'proxy', 'planner', 'power', 'health', 'console'];
    expect(new Set(found.map(({ script }) => userOf(script)))).toEqual(new Set(services));
    for (const { script, user, password, files } of found) {
      expect([script, user]).toEqual([script, userOf(script)]);
      expect(users.map(({ name }) => name)).toContain(user);
      expect([script, `file:${files.join()}`]).toEqual([script, password]);
    }
  });

  test('every nats-server takes in the users, and their passwords from its environment', () => {
    for (const file of ['deploy/compose.production.yml', 'deploy/compose.cluster.yml']) {
      const servers = Object.entries(servicesOf(file)).filter(([name]) => name.startsWith('nats'));
      expect(servers.length).toBeGreaterThan(0);
      for (const [, { command = [], env_file: environment, volumes = [] }] of servers) {
        expect(command.join(' ')).toContain('/etc/nats/nats.conf');
        expect(environment).toMatch(/\/nats\/secrets\/server\.env$/);
        expect(volumes.map((one) => one.split(':')[1])).toEqual(
          expect.arrayContaining(['/etc/nats/nats.conf', '/etc/nats/users.conf']),
        );
      }
    }
    const nats = pods.find(({ name }) => name === 'nats');
    expect(nats?.containers[0]?.envFrom).toEqual([{ secretRef: { name: 'nats-server' } }]);
    expect(read('deploy/nats/nats.conf')).toMatch(/^include users\.conf$/m);
    expect(read('.gitignore')).toContain('deploy/nats/secrets/');
  });
});

describe('kubernetes.yaml', () => {
  test.each(pods)('$name runs what there is, without rights', ({ securityContext, containers }) => {
    expect(securityContext).toMatchObject({ runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } });
    for (const { args = [], env = [], image, securityContext: own } of containers) {
      expect([missingScripts(args), unknownVariables(env.map(({ name }) => name))]).toEqual([[], []]);
      expect(image).toMatch(pinned);
      expect(own).toEqual({
        readOnlyRootFilesystem: true,
        allowPrivilegeEscalation: false,
        capabilities: { drop: ['ALL'] },
      });
    }
  });

  test('has every service, and its own version', () => {
    const services = readdirSync('services').filter((name) => existsSync(`services/${name}/main.ts`));
    expect(pods.map(({ name }) => name).sort()).toEqual([...services, 'config', 'nats'].sort());
    const { version } = JSON.parse(read('package.json')) as { version: string };
    const images = pods.flatMap(({ containers }) => containers.map(({ image }) => image));
    expect(new Set(images.filter((image) => image.startsWith('nemuri')))).toEqual(
      new Set([`nemuri:${version}`]),
    );
  });

  test('the same nats-server everywhere', () => {
    const conf = read('deploy/nats/nats.conf');
    const inCluster = documents.find(({ kind }) => kind === 'ConfigMap') as unknown as {
      data: Record<string, string>;
    };
    const settings = (text: string) =>
      text
        .replace(/#.*$/gm, '')
        .split('\n')
        .map((line) => line.trim())
        .filter(Boolean);
    expect(settings(inCluster.data['nats.conf'] ?? '')).toEqual(settings(conf));
  });
});

test('every unit starts a program that there is', () => {
  const units = readdirSync('deploy/systemd').filter((name) => name.endsWith('.service'));
  expect(units).toContain('nemuri@.service');
  const services = readdirSync('services').filter((name) => existsSync(`services/${name}/main.ts`));
  for (const unit of units) {
    const text = read(`deploy/systemd/${unit}`);
    const [, script = ''] = /^ExecStart=\/usr\/bin\/node \/opt\/nemuri\/dist\/(\S+)\.js/m.exec(text) ?? [];
    const scripts = script.includes('%i') ? services.map((name) => script.replace('%i', name)) : [script];
    expect([unit, scripts.filter((path) => !existsSync(`${path}.ts`))]).toEqual([unit, []]);
    expect(unknownVariables([...text.matchAll(/\bNEMURI_[A-Z_]+/g)].map(([name]) => name))).toEqual([]);
    expect(text).toContain('NoNewPrivileges=yes');
  }
});
