"""Writes a checkpoint as torch.save does, with Python's own pickle and zipfile; torch itself is not needed.

Reads one JSON object from stdin: path, protocol, compressed, storages {key: [type, base64]}, root. A value is
{"dict": [[key, value], ...]}, {"tensor": [key, offset, shape, strides]}, {"parameter": value}, {"call": [module,
name, arguments]} or {"value": json}.
"""
import base64, collections, io, json, pickle, sys, types, zipfile

spec = json.load(sys.stdin)
item = {"FloatStorage": 4, "BFloat16Storage": 2, "HalfStorage": 2, "LongStorage": 8, "DoubleStorage": 8, "BoolStorage": 1, "UntypedStorage": 1}
torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")
torch.__path__ = []
sys.modules.update({"torch": torch, "torch._utils": utils})
for name in item:
    setattr(torch, name, type(name, (), {"__module__": "torch"}))
def rebuild(name):
    def function(*_): pass
    function.__module__, function.__qualname__, function.__name__ = "torch._utils", name, name
    setattr(utils, name, function)
    return function
v2, parameter = rebuild("_rebuild_tensor_v2"), rebuild("_rebuild_parameter")

class Storage:
    def __init__(self, key): self.key = key
class Reduced:
    def __init__(self, *how): self.how = how
    def __reduce_ex__(self, protocol): return self.how

storages = {key: Storage(key) for key in spec["storages"]}
def value(node):
    kind, body = next(iter(node.items()))
    if kind == "dict": return collections.OrderedDict((key, value(item)) for key, item in body)
    if kind == "tensor":
        key, offset, shape, strides = body
        return Reduced(v2, (storages[key], offset, tuple(shape), tuple(strides), False, collections.OrderedDict()))
    if kind == "parameter": return Reduced(parameter, (value(body), True, collections.OrderedDict()))
    if kind == "call":
        module = __import__(body[0], fromlist=["_"])
        return Reduced(getattr(module, body[1]), tuple(body[2]))
    return body

class Pickler(pickle.Pickler):
    def persistent_id(self, thing):
        if not isinstance(thing, Storage): return None
        kind, data = spec["storages"][thing.key]
        return ("storage", getattr(torch, kind), thing.key, "cpu", len(base64.b64decode(data)) // item[kind])

root = value(spec["root"])
if isinstance(root, collections.OrderedDict): root._metadata = collections.OrderedDict([("", {"version": 1})])
buffer = io.BytesIO()
Pickler(buffer, spec.get("protocol", 2)).dump(root)
with zipfile.ZipFile(spec["path"], "w", zipfile.ZIP_DEFLATED if spec.get("compressed") else zipfile.ZIP_STORED) as out:
    out.writestr("archive/data.pkl", buffer.getvalue())
    out.writestr("archive/byteorder", "little")
    for key, (kind, data) in spec["storages"].items():
        with out.open(f"archive/data/{key}", "w", force_zip64=True) as entry: entry.write(base64.b64decode(data))
    out.writestr("archive/version", "3\n")
