# As much of a module system as our modules ask for: options with defaults, sets that are merged,
# mkIf of sets. Each module is a path, a function or a set; the result is the configuration.
{ lib, arguments }:
modules:
let
  merge =
    one: other:
    if builtins.isAttrs one && builtins.isAttrs other then
      one
      // builtins.mapAttrs (
        name: value: if one ? ${name} then merge one.${name} value else value
      ) other
    else
      other;
  load =
    module:
    let
      value = if builtins.isFunction module then module else if builtins.isAttrs module then module else import module;
    in
    if builtins.isFunction value then value (arguments // { inherit config lib; }) else value;
  loaded = map load modules;
  defaults =
    options:
    if options ? isOption then
      options.default or null
    else
      builtins.mapAttrs (_: defaults) options;
  own = module: module.config or (removeAttrs module [ "imports" "options" ]);
  config = builtins.foldl' merge { } (
    map (module: defaults (module.options or { })) loaded ++ map own loaded
  );
in
config
