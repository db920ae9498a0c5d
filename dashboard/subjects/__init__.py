"""The pages of a patient, a user, a device, a service and a resource, and of the own record and activity."""
