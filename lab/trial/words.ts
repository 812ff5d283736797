import type { ArmName } from './options.ts';

/** Every sentence of the report page, in both languages; `{x}` is filled in. */
export type Language = 'en' | 'ja';

const en = {
  title: 'Nemuri: the long experiment',
  lead: 'The same load before the same machines, three times: every server always on, a simple reactive threshold, and Nemuri, which puts to sleep what the next minutes do not need. Real processes, real HTTP, real Redfish; energy read from the BMCs’ meters.',
  headline: 'of the energy saved',
  headlineInterval: '{mean} % ± {half} (95 % interval over {count} seeds)',
  headlineOne: '{mean} % (one seed: no interval)',
  ofOptimum: '{share} % of what a clairvoyant could have saved ({optimum} %)',
  lossless: '{requests} requests, {failed} failed, {late} % late',
  energy: 'Energy',
  energyNote:
    'Energy over the series ({days} days), control plane included. The optimum knows the rate of every second in advance and wakes each server just in time.',
  load: 'Load, capacity and power over time',
  loadNote: 'Capacity is that of the servers that took requests at that moment.',
  latency: 'Latency, seen by the client',
  latencyNote:
    'Open loop, from the moment each request was due, so that waiting for a server that wakes counts. Each line: the share of requests that took longer.',
  figures: 'Figures',
  figuresNote:
    'Short: requests that came in while the rate was above what the ready servers sustain. In a real rack they would have waited for up to a set-up time ({setup} s); in the replay that wait is {speed} times shorter, and mostly hidden from “late”. A saving is to be weighed against it: a rule without forecast saves by being short.',
  machines: 'Machines: wakes, sleeps, energy',
  machinesNote:
    'A cycle is a sleep and the wake that ends it. Server hardware is commonly rated for tens of thousands of power cycles.',
  faults: 'Accidents and what came of them',
  faultsNote:
    'Well again: the server serves or sleeps in order; of a wake that failed, all that the planner asks for is there. Failed and late: requests of all clients in the 10 seconds after it.',
  faultsNone: 'None were let happen in this run.',
  leaks: 'Does anything grow?',
  leaksNote:
    'Medians of the first and last fifth of the last 70 % of the run. The history (stream FLEET) is kept and grows by design, here by {history} KiB a day of the series; memory is the proportional share of each service.',
  checks: 'What was to be shown',
  conditions: 'Conditions',
  limits: 'What these numbers do not show',
  limitsList: [
    'The machines are virtual: watts follow a published curve (SPECpower shape, idle and busy watts of the AutoScale test bed), set-up draws full power, and no fan, disk or power supply wears out. The BMCs are emulated, the Redfish is real.',
    'The series was replayed {speed} times faster than it was, machine times divided by the same factor: {setup} s of set-up became {setupClock} s. What is not divided: service times, the latency objective ({objective} ms), network and process times. So a shortage of capacity lasts {speed} times less than in a real rack, and “late” is easier to meet; look at “short”, the share of requests that came in while the rate was above what the ready servers sustain.',
    'Every {speed}th request of the site was sent, after eight even seconds that do not count (the noise of the load is that of the site, not of the replay). Answers are short and cost the machine’s processor nothing: the servers’ utilization is that of their slots.',
    'The control plane’s own energy is its processor time at {watts} W a busy core (the model machine’s busy minus idle watts over its cores), as if it ran on a machine that is on anyway. Compressed time makes it dearer than it is: meters, probes and decisions come in the clock’s rhythm, not the series’.',
    'Always on means every server of the rack. A farm that is already sized to its peak saves less, one that is larger saves more: the peak of this load is {peak} % of what the rack sustains.',
    'The interval over seeds shows what machines and arrivals of another draw would do under this load; another load gives another saving.',
  ],
  served: 'requests/s served',
  capacity: 'capacity',
  watts: 'watts',
  servers: 'servers awake',
  days: 'days of the series',
  hours: 'hours of the series',
  milliseconds: 'milliseconds',
  slower: '% of requests slower',
  optimum: 'optimum (clairvoyant)',
  control: 'control plane',
  run: 'Run: seed {seed}',
  withFaults: ', with accidents',
  holds: 'holds',
  broken: 'does not hold',
  segments:
    'The run was cut off and went on {count} times; each time everything started anew, without memory.',
  armColumn: '',
  columns: {
    energy: 'energy, kWh',
    saved: 'saved, %',
    ledger: 'ledger off, %',
    requests: 'requests',
    failed: 'failed',
    late: 'late, %',
    parked: 'parked',
    short: 'short, %',
    p50: 'p50, ms',
    p99: 'p99, ms',
    p999: 'p99.9, ms',
    max: 'longest, ms',
    wakes: 'wakes',
    sleeps: 'sleeps',
    cycles: 'cycles a server and day',
    lag: 'load generator’s own lag, longest, ms',
    cores: 'control plane, cores',
    server: 'server',
    at: 'at',
    lateCount: 'late',
    what: 'what',
    target: 'of',
    recovered: 'well again after',
    first: 'early',
    last: 'late',
    verdict: 'verdict',
    rule: 'rule',
    value: 'is',
    commit: 'commit',
    parameter: 'parameter',
  },
  verdicts: { flat: 'flat', grows: 'GROWS', 'too short': 'too short to say' },
  never: 'not within a minute',
  seconds: 's',
  onDay: 'day {day}',
  /** What is written down in English while a run goes on. */
  said: {} as Readonly<Record<string, string>>,
};

export type Words = typeof en;

const ja: Words = {
  title: 'Nemuri 長時間実験',
  lead: '同じ負荷を同じ機械に三通りの方法で与えた。全サーバー常時稼働、単純なしきい値制御、そして次の数分に要らないサーバーを眠らせる Nemuri。プロセスも HTTP も Redfish も本物で、電力は BMC の電力計から読んだ。',
  headline: 'の電力量を削減',
  headlineInterval: '{mean} % ± {half}（{count} 個のシードによる 95 % 信頼区間）',
  headlineOne: '{mean} %（シード一つのため区間なし）',
  ofOptimum: '未来を知る理想制御の削減（{optimum} %）の {share} %',
  lossless: '要求 {requests} 件、失敗 {failed} 件、遅延 {late} %',
  energy: '電力量',
  energyNote:
    '系列全体（{days} 日）の電力量。制御系の消費を含む。理想制御は毎秒の負荷をあらかじめ知り、各サーバーをちょうど間に合うように起こす。',
  load: '負荷・処理能力・電力の推移',
  loadNote: '処理能力は、その時点で要求を受け付けていたサーバーの合計。',
  latency: 'クライアントから見た応答時間',
  latencyNote:
    '開ループで、送るべき時刻から測るため、起動を待つ時間も含む。各線は、その時間より遅かった要求の割合。',
  figures: '測定値',
  figuresNote:
    '「不足」は、稼働中のサーバーの能力を超える負荷のときに届いた要求の割合。実機なら起動時間（{setup} 秒）まで待たされるが、再生ではその {speed} 分の 1 しか待たず、「遅延」にはほとんど現れない。削減率はこれと合わせて見ること。予測のない制御は、不足することで節約している。',
  machines: '機械ごとの起動・休止・電力量',
  machinesNote: '1 サイクルは休止とそれに続く起動。サーバー機器は一般に数万回の電源投入に耐えるとされる。',
  faults: '事故とその結果',
  faultsNote:
    '回復とは、サーバーが正しく稼働または休止していること。起動の失敗では、計画された能力がそろうこと。失敗と遅延は、事故後 10 秒間の全クライアントの件数。',
  faultsNone: 'この実行では事故を起こしていない。',
  leaks: '増え続けるものはないか',
  leaksNote:
    '実行の後ろ 70 % について、最初と最後の 5 分の 1 の中央値。履歴（ストリーム FLEET）は保存するので設計上増える（系列 1 日あたり {history} KiB）。メモリーは各サービスの按分値。',
  checks: '示すべきこと',
  conditions: '条件',
  limits: 'この数値が示さないこと',
  limitsList: [
    '機械は仮想である。電力は公表された曲線（SPECpower の形、AutoScale 実験機の待機時・最大時の値）に従い、起動中は最大電力とした。ファンやディスク、電源の劣化はない。BMC は模擬だが、Redfish の通信は本物である。',
    '系列を {speed} 倍の速さで再生し、機械の時間も同じ比で縮めた。起動時間 {setup} 秒は {setupClock} 秒になる。処理時間、応答時間の目標（{objective} ms）、ネットワークやプロセスの時間は縮めていない。そのため能力不足の続く時間は実機の {speed} 分の 1 で、「遅延」の条件は満たしやすい。「不足」（稼働中のサーバーの能力を超える負荷のときに届いた要求の割合）を見ること。',
    'サイトの要求のうち {speed} 件に 1 件を、数えない 8 秒の慣らしの後に送った（負荷のゆらぎは再生のものではなく、サイトのものである）。応答は短く、この機械の CPU をほとんど使わない。サーバーの利用率は処理枠の利用率である。',
    '制御系の消費は、CPU 時間に稼働コア 1 個あたり {watts} W（モデル機の最大と待機の差をコア数で割った値）を掛けたもので、もともと動いている機械に載せた場合に当たる。時間を縮めているため、計測・検査・判断の回数が実際より多く、消費は高めに出る。',
    '常時稼働とはラックの全サーバーを動かすことである。もともと最大負荷に合わせた台数なら削減は小さく、余裕が大きければ削減は大きい。この負荷の最大値はラックの能力の {peak} % である。',
    '信頼区間は、同じ負荷で機械と到着の乱数を変えた場合のばらつきである。負荷が変われば削減率も変わる。',
  ],
  served: '要求/秒',
  capacity: '処理能力',
  watts: 'ワット',
  servers: '稼働サーバー数',
  days: '系列の日数',
  hours: '系列の時間',
  milliseconds: 'ミリ秒',
  slower: 'より遅い要求の割合 %',
  optimum: '理想制御（未来を知る）',
  control: '制御系',
  run: '実行: シード {seed}',
  withFaults: '（事故あり）',
  holds: '満たす',
  broken: '満たさない',
  segments: 'この実行は中断と再開が {count} 回あり、再開のたびにすべてを記憶なしで始め直した。',
  armColumn: '',
  columns: {
    energy: '電力量 kWh',
    saved: '削減 %',
    ledger: '台帳の誤差 %',
    requests: '要求',
    failed: '失敗',
    late: '遅延 %',
    parked: '待機',
    short: '不足 %',
    p50: 'p50 ms',
    p99: 'p99 ms',
    p999: 'p99.9 ms',
    max: '最長 ms',
    wakes: '起動',
    sleeps: '休止',
    cycles: 'サイクル/台/日',
    lag: '負荷発生側の最大遅れ ms',
    cores: '制御系 コア',
    server: 'サーバー',
    at: '時点',
    lateCount: '遅延',
    what: '内容',
    target: '対象',
    recovered: '回復まで',
    first: '初め',
    last: '終わり',
    verdict: '判定',
    rule: '条件',
    value: '値',
    commit: 'コミット',
    parameter: 'パラメーター',
  },
  verdicts: { flat: '増えない', grows: '増加', 'too short': '短くて判定不能' },
  never: '1 分以内に回復せず',
  seconds: '秒',
  onDay: '{day} 日',
  said: {
    'SIGKILL; its supervisor starts it again': 'SIGKILL。監視プロセスが再起動する',
    'SIGHUP: every worker is replaced': 'SIGHUP。全ワーカーを入れ替える',
    'its web server is killed; the machine stays on': 'Web サーバーを強制終了。電源は入ったまま',
    'its power fails for a moment': '電源が一瞬落ちる',
    'the BMC says yes and does nothing': 'BMC が受理して何もしない',
    'the machine comes on and never serves': '電源は入るが応答しない',
    'failed = 0': '失敗 = 0',
    'nothing grows': '増え続けるものがない',
    'late ≤ 0.1 %': '遅延 ≤ 0.1 %',
    'late ≤ 0.5 %': '遅延 ≤ 0.5 %',
    'ledger of alwaysOn within 1 %': '台帳の誤差 1 % 以内（常時稼働）',
    'ledger of reactive within 1 %': '台帳の誤差 1 % 以内（しきい値制御）',
    'ledger of nemuri within 1 %': '台帳の誤差 1 % 以内（Nemuri）',
    'saves ≥ 85 % of what the optimum saves': '理想制御の削減の 85 % 以上',
    ...Object.fromEntries(
      ['proxy', 'planner', 'power', 'health', 'nats'].flatMap((name) => [
        [`memory ${name}`, `メモリー ${name}`],
        [`open files ${name}`, `開いているファイル ${name}`],
      ]),
    ),
    'stream TELEMETRY': 'ストリーム TELEMETRY',
    'latency p50': '応答時間 p50',
    'latency p99': '応答時間 p99',
  },
};

export const wordsOf: Readonly<Record<Language, Words>> = { en, ja };

export const armLabels: Readonly<Record<Language, Readonly<Record<ArmName, string>>>> = {
  en: { alwaysOn: 'always on', reactive: 'reactive threshold', nemuri: 'Nemuri' },
  ja: { alwaysOn: '常時稼働', reactive: 'しきい値制御', nemuri: 'Nemuri' },
};

/** A sentence that was written down in English, in the language of the page where that has one for it. */
export function inWords({ said }: Words, text: string): string {
  return said[text] ?? text;
}

/** Fills `{name}` in. */
export function filled(text: string, values: Readonly<Record<string, string | number>>): string {
  return text.replace(/\{(\w+)\}/g, (whole, name: string) => String(values[name] ?? whole));
}
