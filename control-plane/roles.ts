/** What users may do. The organization's and the customers' users have roles of their own. */

export interface Role {
  /** As it is stored. */
  id: string;
  name: string;
  description: string;
}

export const organizationAdmin: Role = {
  id: "organization-admin",
  name: "Admin",
  description: "May do everything.",
};
export const organizationMember: Role = {
  id: "organization-member",
  name: "Member",
  description: "Reads everything, and changes nothing but its own tokens.",
};
export const customerAdmin: Role = {
  id: "customer-admin",
  name: "Admin",
  description: "Sees the customer's instances and executions, and makes, rotates and revokes its API keys.",
};
export const customerMember: Role = {
  id: "customer-member",
  name: "Member",
  description: "Sees the customer's instances and executions.",
};

export const organizationRoles: readonly Role[] = [organizationAdmin, organizationMember];
export const customerRoles: readonly Role[] = [customerAdmin, customerMember];

/** The role that is stored for a user; one that is not known any more is the least there is. */
export function roleOf({ role, customerId }: { role: string; customerId: string | null }): Role {
  const roles = customerId === null ? organizationRoles : customerRoles;
  return roles.find((candidate) => candidate.id === role) ?? roles.at(-1)!;
}
