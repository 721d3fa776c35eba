-- Health of an AgentRelease. A rollout may take days: it is Progressing, not broken.
-- What the operator said about an earlier generation of the spec is not believed.
local generation = obj.metadata.generation

local function on(kind)
  if obj.status == nil or obj.status.conditions == nil then
    return nil
  end
  for _, condition in ipairs(obj.status.conditions) do
    if condition.type == kind and condition.status == "True" and condition.observedGeneration == generation then
      return condition
    end
  end
  return nil
end

local function health(status, message)
  return { status = status, message = message or "" }
end

if obj.status == nil or obj.status.observedGeneration ~= generation then
  return health("Progressing", "waiting for the operator")
end

local said = obj.status.reason or ""

-- Exposure should be zero already and something keeps it from being confirmed.
local incomplete = on("RollbackIncomplete")
if incomplete ~= nil then
  return health("Degraded", incomplete.message)
end

local stalled = on("Stalled")
if stalled ~= nil then
  return health("Degraded", stalled.message)
end

local approval = on("AwaitingApproval")
if approval ~= nil then
  return health("Suspended", approval.message)
end

if on("Ready") ~= nil then
  return health("Healthy", said)
end

if obj.spec.paused == true then
  return health("Suspended", "paused: " .. said)
end

return health("Progressing", (obj.status.phase or "") .. ": " .. said)
