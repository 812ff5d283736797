import { type Language, type Words, wordsOf } from './words.ts';

/** What the report of own machines says otherwise than that of a virtual rack. */
const en: Partial<Words> = {
  lead: 'The same load before the same machines, three times: every server always on, a simple reactive threshold, and Nemuri, which puts to sleep what the next minutes do not need. These are real machines of a real configuration, one arm after the other; their energy is what their meters said, or where there is no meter what the energy model of the configuration says.',
  ofOptimum:
    '{share} % of what a clairvoyant could save by the energy model of the configuration ({optimum} %)',
  energyNote:
    'What was used in the time of the trial ({days} days of the series at speed {speed}, {hours} h of the clock for each arm), control plane included, by the ledger of the meters. There is no other truth to compare it with: what the meters did not see is not known. ± is what meters ({meterError} %) and model ({modelError} %) may be off, as the configuration says; {modelled} % of the energy rests on the model.',
  figuresNote:
    'Short: requests that came in while the rate was above what the ready servers sustain. A saving is to be weighed against it: a rule without forecast saves by being short. Short and capacity go by the capacityRps of the configuration.',
  faultsNone: 'No accidents are let happen on real machines.',
  columns: { ...wordsOf.en.columns, ledger: 'of it modelled, %' },
  limitsList: [
    'Energy is what the meters said, {modelled} % of it what the energy model of the configuration says instead; how far off that is, nobody measured. A meter in the server does not see switches, cooling, or what its power supply loses before it.',
    'The arms ran one after the other on the same machines, not side by side: what changed meanwhile (temperature, other work on them, a warm cache) is in the difference.',
    'The series was replayed {speed} times faster than it was; machines and rules kept the times of the clock (at most {setup} s of set-up by the configuration). At a speed above 1 the load moves further within one set-up than it would in life, which is harder on every arm that sleeps.',
    'Every {speed}th request of the site was sent, all of them one and the same GET, after eight even seconds that do not count. Scaled so that the load’s 99.9th percentile is {peak} % of what the pool sustains by its capacityRps. Your own traffic is another mix, and was not served by Nemuri meanwhile.',
    'The control plane’s own energy is its processor time at {watts} W a busy core (a model, not measured), as if it ran on a machine that is on anyway. The load generator’s is in no figure.',
    'What a clairvoyant could save is reckoned by the energy model alone, for equal servers of the pool’s mean, without minServers. It is no measurement.',
    'Late means later than {objective} ms, the latencyObjectiveMs of the pool. Another load gives another saving; the interval over seeds, where there is one, shows only what other arrivals of this load would do.',
  ],
};

const ja: Partial<Words> = {
  lead: '同じ負荷を同じ機械に三通りの方法で与えた。全サーバー常時稼働、単純なしきい値制御、そして次の数分に要らないサーバーを眠らせる Nemuri。設定ファイルにある実際の機械で、一つずつ順に行った。電力量は電力計の値であり、電力計のない機械では設定の電力モデルの値である。',
  ofOptimum: '未来を知る理想制御が設定の電力モデルで削減できる量（{optimum} %）の {share} %',
  energyNote:
    '試験の間に使った電力量（系列 {days} 日を {speed} 倍速、各方法とも実時間 {hours} 時間）。制御系の消費を含み、電力計の台帳による。比べるべき真の値はない。電力計が見なかったものは分からない。± は電力計（{meterError} %）とモデル（{modelError} %）の誤差で、設定による。電力量の {modelled} % はモデルの値である。',
  figuresNote:
    '「不足」は、稼働中のサーバーの能力を超える負荷のときに届いた要求の割合。削減率はこれと合わせて見ること。予測のない制御は、不足することで節約している。不足と処理能力は設定の capacityRps による。',
  faultsNone: '実際の機械では事故を起こさない。',
  columns: { ...wordsOf.ja.columns, ledger: 'うちモデル %' },
  limitsList: [
    '電力量は電力計の値で、その {modelled} % は設定の電力モデルの値である。モデルの誤差は測っていない。サーバー内の電力計には、スイッチや冷房、電源装置の手前の損失は見えない。',
    '三つの方法は同じ機械で順に行い、並行ではない。その間の変化（温度、ほかの仕事、キャッシュ）も差に含まれる。',
    '系列を {speed} 倍の速さで再生したが、機械と制御の時間は実時間のままである（起動時間は設定で最大 {setup} 秒）。速さが 1 を超えると、1 回の起動の間に負荷が実際より大きく動き、眠らせる方法すべてに不利になる。',
    'サイトの要求のうち {speed} 件に 1 件を、数えない 8 秒の慣らしの後に、すべて同じ GET として送った。負荷の 99.9 パーセンタイルがプールの capacityRps の {peak} % になるようにした。実際の要求は内容が異なり、この間 Nemuri は扱っていない。',
    '制御系の消費は、CPU 時間に稼働コア 1 個あたり {watts} W を掛けたもの（モデルであり測定ではない）で、もともと動いている機械に載せた場合に当たる。負荷発生側の消費はどの数値にも含まない。',
    '理想制御の削減は、プールの平均に等しいサーバーと電力モデルだけによる計算で、minServers を考えない。測定ではない。',
    '遅延とは {objective} ms（プールの latencyObjectiveMs）を超えたことである。負荷が変われば削減率も変わる。シードによる区間があっても、同じ負荷で到着の乱数を変えた場合のばらつきでしかない。',
  ],
};

const ownWordsOf: Readonly<Record<Language, Words>> = {
  en: { ...wordsOf.en, ...en },
  ja: { ...wordsOf.ja, ...ja },
};

/** The words of a report: of a virtual rack, or of own machines. */
export function wordsFor(language: Language, isOwn: boolean): Words {
  return (isOwn ? ownWordsOf : wordsOf)[language];
}
