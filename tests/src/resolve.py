"""Resolves the conditions of a template: what is left of it with these parameters. What only AWS knows stays as it is."""

import json
import sys

import yaml


class Loader(yaml.SafeLoader):
    pass


def tagged(loader, suffix, node):
    name = suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}"
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
        if suffix == "GetAtt":
            value = value.split(".", 1)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(node, deep=True)
    return {name: value}


Loader.add_multi_constructor("!", tagged)
template = yaml.load(open(sys.argv[1]), Loader)
GONE = object()


class Resolver:
    def __init__(self, given):
        defaults = {name: it.get("Default", "") for name, it in template["Parameters"].items()}
        unknown = given.keys() - defaults.keys()
        assert not unknown, f"the template has no parameters {unknown}"
        self.parameters = {name: str(given.get(name, default)) for name, default in defaults.items()}

    def text(self, it):
        """What can be compared."""
        if isinstance(it, dict) and list(it) == ["Ref"] and it["Ref"] in self.parameters:
            return self.parameters[it["Ref"]]
        return json.dumps(it) if isinstance(it, (dict, list)) else str(it)

    def holds(self, it):
        if isinstance(it, str):
            return self.holds(template["Conditions"][it])
        (name, inner), = it.items()
        if name == "Condition":
            return self.holds(inner)
        if name == "Fn::Equals":
            return self.text(inner[0]) == self.text(inner[1])
        if name == "Fn::Contains":
            return self.text(inner[1]) in [self.text(choice) for choice in inner[0]]
        if name == "Fn::Not":
            return not self.holds(inner[0])
        return {"Fn::And": all, "Fn::Or": any}[name](self.holds(one) for one in inner)

    def resolved(self, it):
        if isinstance(it, list):
            return [one for one in map(self.resolved, it) if one is not GONE]
        if not isinstance(it, dict):
            return it
        if len(it) == 1:
            (name, inner), = it.items()
            if name == "Ref" and inner == "AWS::NoValue":
                return GONE
            if name == "Ref" and inner in self.parameters:
                return self.parameters[inner]
            if name == "Fn::If":
                return self.resolved(inner[1] if self.holds(inner[0]) else inner[2])
            if name == "Fn::FindInMap":
                mapping, first, second = map(self.text, inner)
                return template["Mappings"][mapping][first][second]
            if name == "Fn::Sub" and isinstance(inner, list):
                return self.substituted(*inner)
        kept = {name: self.resolved(one) for name, one in it.items()}
        return {name: one for name, one in kept.items() if one is not GONE}

    def substituted(self, text, values):
        left = {}
        for name, it in self.resolved(values).items():
            if isinstance(it, (str, int)):
                text = text.replace("${" + name + "}", str(it))
            else:
                left[name] = it
        return {"Fn::Sub": [text, left] if left else text}

    def section(self, name):
        kept = {key: it for key, it in template[name].items() if "Condition" not in it or self.holds(it["Condition"])}
        return {
            key: self.resolved({field: one for field, one in it.items() if field != "Condition"})
            for key, it in kept.items()
        }

    def broken(self, rule):
        if "RuleCondition" in rule and not self.holds(rule["RuleCondition"]):
            return []
        return [one["AssertDescription"] for one in rule["Assertions"] if not self.holds(one["Assert"])]

    def answer(self):
        return {
            "globals": self.resolved(template["Globals"]),
            "resources": self.section("Resources"),
            "outputs": self.section("Outputs"),
            "broken": [text for rule in template["Rules"].values() for text in self.broken(rule)],
        }


print(json.dumps([Resolver(given).answer() for given in json.loads(sys.argv[2])]))
