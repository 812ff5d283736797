/**
 * What people recorded from their own plugs and put on record in public threads: the request, and the part of the
 * answer that says state and watts, with the figures that their plug measured. Unlike plugDialogues.ts, which keeps a
 * whole conversation up, none of this is made up; what names a network or a person is left out.
 */
export interface RecordedAnswer {
  /** Where it was put on record: repository#thread on GitHub. */
  readonly source: string;
  readonly plug: string;
  /** Path and query, as sent. */
  readonly target: string;
  readonly body: string;
}

function recorded(source: string, plug: string, answers: Readonly<Record<string, string>>): RecordedAnswer[] {
  return Object.entries(answers).map(([target, body]) => ({ source, plug, target, body }));
}

/** Sonoff Pow R2 with Tasmota 6.1.1, drawing 10 W. */
export const tasmotaPow = recorded('rodneymo/rig-monitorv2#31', 'Tasmota on a Sonoff Pow', {
  '/cm?cmnd=Power%20On': '{"POWER":"ON"}',
  '/cm?cmnd=Power%20Off': '{"POWER":"OFF"}',
  '/cm?cmnd=Status%208':
    '{"StatusSNS":{"Time":"2018-07-26T22:34:08","ENERGY":{"Total":0.000,"Yesterday":0.000,"Today":0.000,"Power":10,"Factor":0.52,"Voltage":236,"Current":0.083}}}',
});

/** The same plug before its module was set: it has no meter to speak of. */
export const tasmotaWithoutMeter = recorded('arendst/Tasmota#3340', 'Tasmota without its module', {
  '/cm?cmnd=Status%208': '{"StatusSNS":{"Time":"2018-07-26T22:22:05"}}',
});

/** Sonoff S31, switched off; a later firmware that says more. */
export const tasmotaS31 = recorded('jneilliii/OctoPrint-Tasmota#193', 'Tasmota on a Sonoff S31', {
  '/cm?cmnd=Status%2010':
    '{"StatusSNS":{"Time":"2023-01-26T15:24:27","ENERGY":{"TotalStartTime":"2023-01-26T02:02:24","Total":0.000,"Yesterday":0.000,"Today":0.000,"Power":0,"ApparentPower":0,"ReactivePower":0,"Factor":0.00,"Voltage":0,"Current":0.000}}}',
});

/** StateText1 and StateText2 of this plug were changed: it says 1 where others say ON. */
export const tasmotaStateText = recorded(
  'jneilliii/OctoPrint-Tasmota#150',
  'Tasmota with other state texts',
  {
    '/cm?cmnd=Power1%20On': '{"POWER1":"1"}',
  },
);

export const shelly1 = recorded('bitfocus/companion-module-requests#767', 'Shelly 1', {
  '/relay/0':
    '{"ison":false,"has_timer":false,"timer_started":0,"timer_duration":0,"timer_remaining":0,"overpower":false,"overtemperature":false,"is_valid":true,"source":"http"}',
});

export const shellyPlugS = recorded('Arksine/moonraker#93', 'Shelly Plug S', {
  '/status':
    '{"relays":[{"ison":true,"has_timer":false,"timer_started":0,"timer_duration":0,"timer_remaining":0,"overpower":false,"source":"http"}],"meters":[{"power":0.02,"overpower":0,"is_valid":true}]}',
});

export const shellyPlugGen4 = recorded('bieniu/ha-shellies-discovery-gen2#746', 'Shelly Plug US Gen4', {
  '/rpc/Shelly.GetStatus':
    '{"ble":{},"cloud":{"connected":false},"mqtt":{"connected":false},"plugs_ui":{},"switch:0":{"id":0, "source":"init", "output":false, "apower":0.0, "voltage":123.7, "freq":60.0, "current":0.000, "aenergy":{"total":0.000,"by_minute":[0.000,0.000,0.000],"minute_ts":1768592460}, "ret_aenergy":{"total":0.000,"by_minute":[0.000,0.000,0.000],"minute_ts":1768592460},"temperature":{"tC":32.1, "tF":89.8}}}',
});

/** Its answer came by the vendor's cloud, which wraps what the plug says. */
export const shellyPlus1Pm = recorded('edekeijzer/OctoPrint-PSUControl-Shelly#19', 'Shelly Plus 1PM', {
  '/device/status':
    '{"isok":true,"data":{"online":true,"device_status":{"switch:0":{"id":0,"current":0.14,"source":"SHC","output":true,"apower":9.2,"voltage":122.1,"aenergy":{"by_minute":[141.394,141.394,143.331],"minute_ts":1681834259,"total":9325.164},"temperature":{"tC":42.85,"tF":109.12}}}}}',
});

/** A relay without a meter, and how the firmware refuses what it does not have. */
export const shellyWithoutMeter = recorded('jbasen/Crestron-Shelly#36', 'Shelly without a meter', {
  '/rpc/Switch.GetStatus?id=0':
    '{"id":0, "source":"init", "output":false,"temperature":{"tC":40.3, "tF":104.6}}',
  '/rpc/EM.GetStatus?id=0': '{"code":404,"message":"No handler for EM.GetStatus"}',
});
