-- The health of a ProjectMigration for Argo CD, from its conditions; README.md says where it goes.
local hs = {status = "Progressing", message = "waiting for the operator"}
local status = obj.status or {}

-- Conditions of an older document say nothing about this one.
if status.observedGeneration == nil or status.observedGeneration ~= obj.metadata.generation then
  return hs
end

local found = {}
for _, condition in ipairs(status.conditions or {}) do
  found[condition.type] = condition
end

local function is(name)
  return found[name] ~= nil and found[name].status == "True"
end

if is("Stalled") then
  hs.status = "Degraded"
  hs.message = found.Stalled.reason .. ": " .. (found.Stalled.message or "")
elseif is("Ready") then
  hs.status = "Healthy"
  hs.message = found.Ready.message or found.Ready.reason
elseif obj.spec.suspend then
  hs.status = "Suspended"
  hs.message = "spec.suspend is set"
elseif is("AwaitingCutover") then
  hs.status = "Suspended"
  hs.message = found.AwaitingCutover.message or "waiting for its cutover"
elseif is("Reconciling") then
  hs.message = found.Reconciling.message or found.Reconciling.reason
end
return hs
