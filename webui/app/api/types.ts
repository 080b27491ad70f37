// Names for what the API speaks of.
import type { components } from './schema';

type Schemas = components['schemas'];
export type User = Schemas['UserView'];
export type SessionState = Schemas['SessionState'];
export type Profile = Schemas['ProfileText'];
export type Schedule = Schemas['ScheduleText'];
export type Budget = Schemas['BudgetText'];
export type Device = Schemas['DeviceText'];
export type Category = Schemas['Category'];
export type Service = Schemas['Service'];
export type AccessRequest = Schemas['Request'];
export type Status = Schemas['Status'];
export type Explanation = Schemas['Explanation'];
export type Stranger = Schemas['AddressShown'];
