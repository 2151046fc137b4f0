"""What trainings of models of many things report: as for other meshes."""

from geoflow_tools.validation.fields import GIVES, data_rows, validator

__all__ = ["GIVES", "data_rows", "validator"]
