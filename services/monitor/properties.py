"""The properties, in the order in which they are reported."""

from services.monitor.domain_properties import SleepersSleep, WatchdogsSpareSleepers
from services.monitor.gic_properties import (
    GicIsLegal,
    InterruptsAreTaken,
    ListRegistersAreSound,
    PrioritiesEnd,
)
from services.monitor.guest_properties import ResumeIsExact, WakeIsDelivered, WorkloadIsIntact
from services.monitor.host_properties import (
    AloneAtTheEnd,
    EveryCpuIsBack,
    EverythingBalances,
    GicIsTheSame,
    NobodyRuns,
)
from services.monitor.iommu_properties import IommuIsTheSame
from services.monitor.progress import BoardProgresses
from services.monitor.prop import Property
from services.monitor.psci_properties import (
    AffinityInfoIsTrue,
    FeaturesAreTrue,
    OffIsOff,
    StartsAreExact,
    StatesAreLegal,
)
from services.monitor.run_properties import (
    BusIsClean,
    NoPanic,
    OutcomesAreAllowed,
    ScenarioIsDone,
)
from services.monitor.sleep_properties import NoHeapWithIrqsOff, NoTimerWakes
from services.monitor.vpsci_properties import VpsciIsTrue

PROPERTIES: tuple[type[Property], ...] = (
    AloneAtTheEnd,
    NobodyRuns,
    ResumeIsExact,
    GicIsTheSame,
    WakeIsDelivered,
    EverythingBalances,
    EveryCpuIsBack,
    NoTimerWakes,
    WatchdogsSpareSleepers,
    SleepersSleep,
    NoHeapWithIrqsOff,
    IommuIsTheSame,
    StatesAreLegal,
    StartsAreExact,
    OffIsOff,
    AffinityInfoIsTrue,
    FeaturesAreTrue,
    VpsciIsTrue,
    GicIsLegal,
    PrioritiesEnd,
    InterruptsAreTaken,
    ListRegistersAreSound,
    WorkloadIsIntact,
    BoardProgresses,
    NoPanic,
    OutcomesAreAllowed,
    ScenarioIsDone,
    BusIsClean,
)
