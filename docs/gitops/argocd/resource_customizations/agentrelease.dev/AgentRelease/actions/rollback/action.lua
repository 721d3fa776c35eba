-- Back to what serves; the bundle that is on its way is refused until it is changed or allowed again.
if obj.spec.rollback == nil then
  obj.spec.rollback = {}
end
obj.spec.rollback.to = obj.status.stable.revision
obj.spec.rollback.of = obj.status.candidate.revision
return obj
