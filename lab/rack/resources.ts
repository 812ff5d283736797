import { type MachineKind, type RedfishPowerState, type ResetType, resetTypes } from './machine.ts';

/** How a BMC differs from others; what real ones are known for. */
export interface BmcQuirks {
  /** Where the allowed reset types are said; `malformed`: two of them glued together (seen on a Supermicro X12). */
  readonly allowableValues: 'inline' | 'actionInfo' | 'malformed';
  readonly meter: 'both' | 'power' | 'environmentMetrics' | 'none';
  /** false: the power state reads On from the start of a set-up to the end of a shutdown. */
  readonly transitionStates: boolean;
  /** A reset into the state it is in: 204, or 409. */
  readonly sameState: 'accept' | 'refuse';
}

export interface TaskView {
  readonly id: string;
  readonly state: 'Running' | 'Completed' | 'Exception';
  readonly resetType: ResetType;
}

/** All that the resources of one BMC are made from. */
export interface BmcView {
  readonly name: string;
  readonly uuid: string;
  readonly systemId: string;
  readonly manufacturer: string;
  readonly model: string;
  readonly assetTag: string;
  readonly machine: MachineKind;
  readonly powerState: RedfishPowerState;
  readonly powerWatts: number;
  readonly maxWatts: number;
  readonly userName: string;
  readonly sessionTimeoutSeconds: number;
  readonly sessions: readonly { readonly id: string; readonly userName: string }[];
  readonly tasks: readonly TaskView[];
  readonly quirks: BmcQuirks;
}

export const rootPath = '/redfish/v1';
export const sessionsPath = `${rootPath}/SessionService/Sessions`;
export const tasksPath = `${rootPath}/TaskService/Tasks`;
export const taskMonitorsPath = `${rootPath}/TaskService/TaskMonitors`;
const chassisPath = `${rootPath}/Chassis/1`;
const managerPath = `${rootPath}/Managers/BMC`;
const accountPath = `${rootPath}/AccountService/Accounts/1`;

export const systemPath = (systemId: string) => `${rootPath}/Systems/${systemId}`;
export const resetPath = (systemId: string) => `${systemPath(systemId)}/Actions/ComputerSystem.Reset`;
const cardsPath = (systemId: string) => `${systemPath(systemId)}/EthernetInterfaces`;
const actionInfoPath = (systemId: string) => `${systemPath(systemId)}/ResetActionInfo`;

type Resource = Record<string, unknown>;
const link = (path: string): Resource => ({ '@odata.id': path });
const enabled = { State: 'Enabled', Health: 'OK' };

function collection(type: string, name: string, members: readonly string[]): Resource {
  return {
    '@odata.type': `#${type}.${type}`,
    Name: name,
    'Members@odata.count': members.length,
    Members: members.map(link),
  };
}

function serviceRoot(view: BmcView): Resource {
  return {
    '@odata.type': '#ServiceRoot.v1_16_0.ServiceRoot',
    Id: 'RootService',
    Name: 'Root Service',
    RedfishVersion: '1.20.0',
    UUID: view.uuid,
    Vendor: 'Nemuri',
    Product: 'Nemuri virtual BMC',
    ProtocolFeaturesSupported: { ExpandQuery: {}, FilterQuery: false, SelectQuery: false },
    Systems: link(`${rootPath}/Systems`),
    Chassis: link(`${rootPath}/Chassis`),
    Managers: link(`${rootPath}/Managers`),
    SessionService: link(`${rootPath}/SessionService`),
    AccountService: link(`${rootPath}/AccountService`),
    Tasks: link(`${rootPath}/TaskService`),
    Links: { Sessions: link(sessionsPath) },
  };
}

const bootProgress: Readonly<Record<MachineKind, string>> = {
  off: 'None',
  poweringOn: 'PrimaryProcessorInitializationStarted',
  booting: 'OSBootStarted',
  serving: 'OSRunning',
  crashed: 'OSRunning',
  poweringOff: 'OSRunning',
};

function allowableValues(quirk: BmcQuirks['allowableValues']): Resource {
  if (quirk === 'actionInfo') return {};
  const values: readonly string[] =
    quirk === 'inline'
      ? resetTypes
      : ['On', 'ForceOff', 'GracefulShutdownGracefulRestart', 'ForceRestart', 'PushPowerButton'];
  return { 'ResetType@Redfish.AllowableValues': values };
}

function computerSystem(view: BmcView): Resource {
  const powerState = view.quirks.transitionStates
    ? view.powerState
    : view.powerState === 'Off'
      ? 'Off'
      : 'On';
  return {
    '@odata.type': '#ComputerSystem.v1_20_0.ComputerSystem',
    Id: view.systemId,
    Name: view.name,
    HostName: view.name,
    SystemType: 'Physical',
    Manufacturer: view.manufacturer,
    Model: view.model,
    SerialNumber: view.uuid.slice(0, 8),
    UUID: view.uuid,
    AssetTag: view.assetTag,
    PowerState: powerState,
    BootProgress: { LastState: bootProgress[view.machine] },
    Boot: { BootSourceOverrideEnabled: 'Disabled', BootSourceOverrideTarget: 'None' },
    Status: powerState === 'Off' ? { State: 'Disabled', Health: 'OK' } : enabled,
    Links: { Chassis: [link(chassisPath)], ManagedBy: [link(managerPath)] },
    EthernetInterfaces: link(cardsPath(view.systemId)),
    Actions: {
      '#ComputerSystem.Reset': {
        target: resetPath(view.systemId),
        ...allowableValues(view.quirks.allowableValues),
        '@Redfish.ActionInfo': actionInfoPath(view.systemId),
      },
    },
  };
}

/** Its one network card; the address is locally administered. */
function card(view: BmcView): Resource {
  const address = `02${view.uuid.replaceAll('-', '').slice(-10)}`.replace(/..(?!$)/g, '$&:').toUpperCase();
  return {
    '@odata.type': '#EthernetInterface.v1_12_0.EthernetInterface',
    Id: '1',
    Name: 'Ethernet Interface',
    MACAddress: address,
    PermanentMACAddress: address,
    Status: enabled,
  };
}

function actionInfo(): Resource {
  return {
    '@odata.type': '#ActionInfo.v1_4_0.ActionInfo',
    Id: 'ResetActionInfo',
    Name: 'Reset Action Info',
    Parameters: [{ Name: 'ResetType', Required: true, DataType: 'String', AllowableValues: resetTypes }],
  };
}

function hasPower(view: BmcView): boolean {
  return view.quirks.meter === 'both' || view.quirks.meter === 'power';
}

function hasEnvironmentMetrics(view: BmcView): boolean {
  return view.quirks.meter === 'both' || view.quirks.meter === 'environmentMetrics';
}

function chassis(view: BmcView): Resource {
  return {
    '@odata.type': '#Chassis.v1_25_0.Chassis',
    Id: '1',
    Name: `Chassis of ${view.name}`,
    ChassisType: 'RackMount',
    Manufacturer: view.manufacturer,
    Model: view.model,
    PowerState: view.powerState,
    Status: enabled,
    ...(hasPower(view) ? { Power: link(`${chassisPath}/Power`) } : {}),
    ...(hasEnvironmentMetrics(view) ? { EnvironmentMetrics: link(`${chassisPath}/EnvironmentMetrics`) } : {}),
    Links: { ComputerSystems: [link(systemPath(view.systemId))], ManagedBy: [link(managerPath)] },
  };
}

function power(view: BmcView): Resource {
  return {
    '@odata.type': '#Power.v1_7_1.Power',
    Id: 'Power',
    Name: 'Power',
    PowerControl: [
      {
        '@odata.id': `${chassisPath}/Power#/PowerControl/0`,
        MemberId: '0',
        Name: 'System Input Power',
        PowerConsumedWatts: Math.round(view.powerWatts),
        PowerCapacityWatts: Math.ceil(view.maxWatts * 1.5),
        RelatedItem: [link(systemPath(view.systemId)), link(chassisPath)],
        Status: enabled,
      },
    ],
    PowerSupplies: [],
    Voltages: [],
  };
}

function environmentMetrics(view: BmcView): Resource {
  return {
    '@odata.type': '#EnvironmentMetrics.v1_3_1.EnvironmentMetrics',
    Id: 'EnvironmentMetrics',
    Name: 'Chassis Environment Metrics',
    PowerWatts: { Reading: Math.round(view.powerWatts * 10) / 10 },
  };
}

function manager(view: BmcView): Resource {
  return {
    '@odata.type': '#Manager.v1_19_0.Manager',
    Id: 'BMC',
    Name: 'Manager',
    ManagerType: 'BMC',
    FirmwareVersion: '1.0.0',
    UUID: view.uuid,
    PowerState: 'On',
    Status: enabled,
    Links: { ManagerForServers: [link(systemPath(view.systemId))], ManagerForChassis: [link(chassisPath)] },
  };
}

function session(view: BmcView, id: string): Resource | undefined {
  const found = view.sessions.find((candidate) => candidate.id === id);
  if (!found) return undefined;
  return {
    '@odata.type': '#Session.v1_7_0.Session',
    Id: id,
    Name: `Session ${id}`,
    UserName: found.userName,
  };
}

function task(view: BmcView, id: string): Resource | undefined {
  const found = view.tasks.find((candidate) => candidate.id === id);
  if (!found) return undefined;
  return {
    '@odata.type': '#Task.v1_7_3.Task',
    Id: id,
    Name: `Reset ${found.resetType}`,
    TaskState: found.state,
    TaskStatus: found.state === 'Exception' ? 'Critical' : 'OK',
    PercentComplete: found.state === 'Running' ? 50 : 100,
    TaskMonitor: `${taskMonitorsPath}/${id}`,
    Messages: [],
  };
}

const service = (type: string, id: string, name: string, more: Resource): Resource => ({
  '@odata.type': type,
  Id: id,
  Name: name,
  ServiceEnabled: true,
  Status: enabled,
  ...more,
});

function services(view: BmcView): Record<string, () => Resource> {
  return {
    [`${rootPath}/SessionService`]: () =>
      service('#SessionService.v1_1_9.SessionService', 'SessionService', 'Session Service', {
        SessionTimeout: view.sessionTimeoutSeconds,
        Sessions: link(sessionsPath),
      }),
    [sessionsPath]: () =>
      collection(
        'SessionCollection',
        'Session Collection',
        view.sessions.map(({ id }) => `${sessionsPath}/${id}`),
      ),
    [`${rootPath}/TaskService`]: () =>
      service('#TaskService.v1_2_1.TaskService', 'TaskService', 'Task Service', { Tasks: link(tasksPath) }),
    [tasksPath]: () =>
      collection(
        'TaskCollection',
        'Task Collection',
        view.tasks.map(({ id }) => `${tasksPath}/${id}`),
      ),
    [`${rootPath}/AccountService`]: () =>
      service('#AccountService.v1_15_1.AccountService', 'AccountService', 'Account Service', {
        Accounts: link(`${rootPath}/AccountService/Accounts`),
      }),
    [`${rootPath}/AccountService/Accounts`]: () =>
      collection('ManagerAccountCollection', 'Account Collection', [accountPath]),
    [accountPath]: () => ({
      '@odata.type': '#ManagerAccount.v1_12_1.ManagerAccount',
      Id: '1',
      Name: 'User Account',
      UserName: view.userName,
      Password: null,
      RoleId: 'Administrator',
      Enabled: true,
    }),
  };
}

function hardware(view: BmcView): Record<string, () => Resource> {
  return {
    [`${rootPath}/Systems`]: () =>
      collection('ComputerSystemCollection', 'Computer System Collection', [systemPath(view.systemId)]),
    [systemPath(view.systemId)]: () => computerSystem(view),
    [actionInfoPath(view.systemId)]: actionInfo,
    [cardsPath(view.systemId)]: () =>
      collection('EthernetInterfaceCollection', 'Ethernet Interface Collection', [
        `${cardsPath(view.systemId)}/1`,
      ]),
    [`${cardsPath(view.systemId)}/1`]: () => card(view),
    [`${rootPath}/Chassis`]: () => collection('ChassisCollection', 'Chassis Collection', [chassisPath]),
    [chassisPath]: () => chassis(view),
    ...(hasPower(view) ? { [`${chassisPath}/Power`]: () => power(view) } : {}),
    ...(hasEnvironmentMetrics(view)
      ? { [`${chassisPath}/EnvironmentMetrics`]: () => environmentMetrics(view) }
      : {}),
    [`${rootPath}/Managers`]: () => collection('ManagerCollection', 'Manager Collection', [managerPath]),
    [managerPath]: () => manager(view),
  };
}

/**
 * The resource at a path (no trailing slash), with its `@odata.id`; undefined: there is none.
 * Shapes follow DSP2046 and the DMTF rack-mount mockup; properties that no client of ours needs are left out.
 */
export function resourceAt(path: string, view: BmcView): object | undefined {
  const [, parent = '', id = ''] = /^(.*)\/([^/]+)$/.exec(path) ?? [];
  const member =
    parent === sessionsPath ? session(view, id) : parent === tasksPath ? task(view, id) : undefined;
  const builders: Record<string, () => Resource> = {
    [rootPath]: () => serviceRoot(view),
    ...services(view),
    ...hardware(view),
  };
  const resource = member ?? (Object.hasOwn(builders, path) ? builders[path]?.() : undefined);
  return resource && { '@odata.id': path, ...resource };
}

/** The OData service document (DSP0266, "OData service document"). */
export function odataDocument(): object {
  const names = ['Systems', 'Chassis', 'Managers', 'SessionService', 'AccountService', 'TaskService'];
  return {
    '@odata.context': `${rootPath}/$metadata`,
    value: [
      { name: 'Service', kind: 'Singleton', url: rootPath },
      ...names.map((name) => ({ name, kind: 'Singleton', url: `${rootPath}/${name}` })),
    ],
  };
}

/** A minimal `$metadata` document that names the types of the service root. */
export const metadataXml = `<?xml version="1.0" encoding="UTF-8"?>
<edmx:Edmx xmlns:edmx="http://docs.oasis-open.org/odata/ns/edmx" Version="4.0">
  <edmx:Reference Uri="http://redfish.dmtf.org/schemas/v1/ServiceRoot_v1.xml">
    <edmx:Include Namespace="ServiceRoot"/>
    <edmx:Include Namespace="ServiceRoot.v1_16_0"/>
  </edmx:Reference>
  <edmx:DataServices>
    <Schema xmlns="http://docs.oasis-open.org/odata/ns/edm" Namespace="Service">
      <EntityContainer Name="Service" Extends="ServiceRoot.v1_16_0.ServiceContainer"/>
    </Schema>
  </edmx:DataServices>
</edmx:Edmx>
`;
