-- What can be done from Argo CD. Approving is not among it: Argo CD acts under its own account, and an
-- approval counts only in the name of the person who gives it.
local actions = {}
local status = obj.status or {}
local moving = status.candidate ~= nil and status.stable ~= nil

actions["pause"] = { ["disabled"] = obj.spec.paused == true }
actions["resume"] = { ["disabled"] = obj.spec.paused ~= true }
actions["rollback"] = { ["disabled"] = not moving }

return actions
