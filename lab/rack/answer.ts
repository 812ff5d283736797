import { createHash } from 'node:crypto';

/** What the BMC answers. A string body is sent as it is, an object as JSON. */
export interface Answer {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: object | string;
}

/** The messages this BMC uses, named as in the DMTF Base registry (DSP8011): HTTP status, and our wording of it. */
const messages = {
  MalformedJSON: [400, 'The request body submitted was malformed JSON and could not be parsed.'],
  PropertyMissing: [400, 'The property %1 is a required property and must be included in the request.'],
  PropertyNotWritable: [400, 'The property %1 is a read only property and cannot be assigned a value.'],
  PropertyValueTypeError: [400, 'The value %1 for the property %2 is of a different type than it accepts.'],
  ActionParameterMissing: [400, 'The action %1 requires the parameter %2 to be present in the request body.'],
  ActionParameterValueNotInList: [400, 'The value %1 of the parameter %2 is none of those allowed.'],
  NoValidSession: [401, 'There is no valid session established with the implementation.'],
  ResourceAtUriUnauthorized: [401, 'The user name or the password is wrong.'],
  ResourceMissingAtURI: [404, 'The resource at the URI %1 was not found.'],
  OperationNotAllowed: [405, 'The HTTP method is not allowed on this resource.'],
  ResourceInUse: [409, 'The system is in that power state already, or on its way to it.'],
  PreconditionFailed: [412, 'The ETag supplied did not match the current ETag of the resource.'],
  HeaderInvalid: [412, 'The header %1 is invalid.'],
  PayloadTooLarge: [413, 'The supplied payload exceeds the supported size.'],
  UnsupportedMediaType: [415, 'The request body must be application/json.'],
  GeneralError: [500, 'The task failed.'],
  SessionLimitExceeded: [503, 'The session could not be created: too many sessions are open.'],
} as const satisfies Record<string, readonly [number, string]>;

export type MessageName = keyof typeof messages;

/** An error answer with its extended information (DSP0266, clause "Error responses"). */
export function errorAnswer(name: MessageName, args: readonly string[] = [], headers = {}): Answer {
  const [status, wording] = messages[name];
  const text = wording.replace(/%(\d)/g, (_match, place) => args[Number(place) - 1] ?? '');
  const id = `Base.1.18.1.${name}`;
  return {
    status,
    headers,
    body: {
      error: {
        code: id,
        message: text,
        '@Message.ExtendedInfo': [
          {
            '@odata.type': '#Message.v1_1_2.Message',
            MessageId: id,
            Message: text,
            MessageArgs: args,
            MessageSeverity: 'Critical',
            Resolution: 'None.',
          },
        ],
      },
    },
  };
}

/** A weak ETag of a resource: changes with any of its properties. */
export function etagOf(resource: object): string {
  return `W/"${createHash('sha256').update(JSON.stringify(resource)).digest('hex').slice(0, 16)}"`;
}
