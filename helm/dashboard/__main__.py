from helm.dashboard.assembly import PATH, render

PATH.write_text(render(), encoding="utf-8")
