import type { PowerMethod } from '../../../libs/events/mod.ts';

/** What a method sends to wake or to put to sleep, as an operator would look it up. Names secrets, holds none. */
export function commandText(method: PowerMethod, act: 'wake' | 'sleep'): string {
  switch (method.driver) {
    case 'redfish': {
      const types = act === 'wake' ? 'On, ForceOn or PushPowerButton' : 'GracefulShutdown or PushPowerButton';
      return `POST ComputerSystem.Reset to ${method.url} with what it allows of ${types}`;
    }
    case 'ipmi':
      return `ipmitool -I ${method.interface} -H ${method.host} chassis power ${act === 'wake' ? 'on' : 'soft'}`;
    case 'wol': {
      const where = method.broadcasts.join(', ');
      return `${method.packets} magic packets to ${method.macs.join(', ')} by ${where}, UDP ${method.ports.join(', ')}`;
    }
    case 'ssh': {
      const command = act === 'wake' ? method.wakeCommand : method.sleepCommand;
      return `ssh ${method.username}@${method.host}: ${command}`;
    }
    case 'agent':
      return `its agent is asked over the bus to ${method.how}; it obeys what the history holds, not a test`;
    case 'exec':
      return JSON.stringify(method[act]);
    case 'http':
      return `${method[act]?.method} ${new URL(method.url).origin}${method[act]?.path}`;
    case 'pdu': {
      const value = act === 'wake' ? method.onValue : method.offValue;
      return `SNMP set of ${method.outletOid} on ${method.host} to ${value}`;
    }
  }
}
