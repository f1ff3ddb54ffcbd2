# What of the environment reaches our children: what names servers, caches and certificates, and not what changes
# which code is run, or where things are installed.
PIP_KEPT := $(addprefix PIP_,INDEX_URL EXTRA_INDEX_URL NO_INDEX FIND_LINKS TRUSTED_HOST CERT CLIENT_CERT PROXY TIMEOUT \
	DEFAULT_TIMEOUT RETRIES CACHE_DIR NO_CACHE_DIR CONFIG_FILE)
UV_KEPT := $(addprefix UV_,INDEX_URL DEFAULT_INDEX EXTRA_INDEX_URL INDEX FIND_LINKS CACHE_DIR NATIVE_TLS HTTP_TIMEOUT)
PYTHON_KEPT := PYTHON PYTHONUNBUFFERED PYTHONDONTWRITEBYTECODE PYTHONPYCACHEPREFIX
GO_LEAKS := GOBIN GOFLAGS GOOS GOARCH GOWORK GO111MODULE GOEXPERIMENT
unexport $(filter-out $(PIP_KEPT) $(UV_KEPT) $(PYTHON_KEPT),$(filter PIP_% UV_% PYTHON%,$(.VARIABLES)))
unexport $(GO_LEAKS) $(addprefix GIT_,DIR WORK_TREE INDEX_FILE OBJECT_DIRECTORY COMMON_DIR PREFIX NAMESPACE)
unexport CDPATH VIRTUAL_ENV __PYVENV_LAUNCHER__ MYPYPATH PYTEST_PLUGINS PYTEST_DISABLE_PLUGIN_AUTOLOAD
unexport MAKEFLAGS MFLAGS MAKELEVEL

# Our files are UTF-8, whatever this machine's locale has.
export PYTHONUTF8 := 1

# What runs here is reached directly.
LOOPBACK := 127.0.0.1,localhost,::1
export NO_PROXY := $(if $(value NO_PROXY),$(value NO_PROXY)$(COMMA))$(LOOPBACK)
export no_proxy := $(if $(value no_proxy),$(value no_proxy)$(COMMA))$(LOOPBACK)

# Go wants a folder for its caches.
ifeq ($(value HOME),)
export HOME := $(CURDIR)/.tools/home
endif

# A dollar in its password is no variable of make's.
ifneq ($(value DATABASE_URL),)
override export DATABASE_URL := $(value DATABASE_URL)
endif
